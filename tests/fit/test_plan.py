"""What the planner chooses on known machines, what it honours and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from appliance.engine.config import Adapter, EngineConfig
from appliance.errors import SetupError
from appliance.fit.catalogue import load_catalogue
from appliance.fit.decision import Plan
from appliance.fit.hardware import GIB, MIB, Hardware
from appliance.fit.plan import plan
from appliance.fit.wish import Wish
from tests.fit.machines import card, demo_file, machine

CATALOGUE = load_catalogue()


def decide(hardware: Hardware, **wish: Any) -> Plan:
    return plan(hardware, Wish(**wish), CATALOGUE, find_config=lambda _: None)


def refusal(hardware: Hardware, **wish: Any) -> str:
    with pytest.raises(SetupError) as caught:
        decide(hardware, **wish)
    return str(caught.value)


def words(chosen: Plan, subject: str) -> str:
    return " ".join(str(one.phrase) for one in chosen.reasons if one.subject == subject)


@pytest.mark.parametrize(
    ("free_gib", "model", "precision"),
    [
        (3.3, "Qwen3-1.7B", "nf4"),
        (5.5, "Qwen3-4B", "nf4"),
        (7.3, "Qwen3-8B", "nf4"),
        (11.3, "Qwen3-8B", "int8"),
        (15.3, "Qwen3-8B", "int8"),
        (23.3, "Qwen3-8B", "bf16"),
        (79, "Qwen3-8B", "bf16"),
    ],
)
def test_each_card_gets_the_best_that_fits(free_gib: float, model: str, precision: str) -> None:
    chosen = decide(machine(card(free_gib)))
    assert (chosen.model, chosen.precision) == (model, precision)
    assert chosen.total_bytes <= chosen.budget_bytes < free_gib * GIB
    assert chosen.total_bytes == chosen.weight_bytes + chosen.kv_bytes + chosen.overhead_bytes


def test_a_card_that_is_too_small_is_left_alone() -> None:
    chosen = decide(machine(card(1)))
    assert (chosen.model, chosen.device) == ("SmolLM2-135M-Instruct", "cpu")
    assert "Qwen3-0.6B in nf4 needs 1.4 GiB" in words(chosen, "model")


def test_without_a_card_the_demo_model_runs_on_openvino() -> None:
    chosen = decide(machine())
    assert (chosen.engine, chosen.device, chosen.precision) == ("openvino", "cpu", "gguf")
    assert chosen.source.kind == "package"
    assert "no clever assistant" in words(chosen, "model")
    assert [(one.model, one.engine) for one in chosen.fallbacks] == [
        ("SmolLM2-135M-Instruct", "transformers")
    ]


def test_without_pytorch_nothing_is_planned_that_needs_it() -> None:
    bare = replace(machine(), has_torch=False)
    assert decide(bare).engine == "openvino"
    assert decide(bare).fallbacks == ()
    file = decide(bare, model=str(demo_file()))
    assert {one.engine for one in (file, *file.fallbacks)} == {"openvino"}
    for wish in ({"model": "Qwen/Qwen3-0.6B"}, {"engine": "transformers"}):
        assert "needs PyTorch" in refusal(bare, **wish)
    assert "int8 and nf4 need an NVIDIA card" in refusal(bare, precision="int8")
    assert "reads GGUF files" in refusal(bare, engine="openvino", model="Qwen/Qwen3-0.6B")


def test_a_turing_card_computes_in_fp16() -> None:
    assert decide(machine(card(23, capability=(7, 5)))).precision == "fp16"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"cuda_driver": (12, 8), "driver_version": "572.1"}, "driver 580 or newer"),
        ({"compute_capability": (6, 1)}, "too old: its compute capability is 6.1"),
    ],
)
def test_a_card_that_cannot_be_used_is_left_and_named(change: dict[str, Any], why: str) -> None:
    chosen = decide(machine(replace(card(23), **change)))
    assert chosen.device == "cpu"
    assert why in words(chosen, "driver")
    assert chosen.environment() == {"CUDA_VISIBLE_DEVICES": "-1"}


def test_of_several_cards_the_emptiest_is_used() -> None:
    old = replace(card(40, index=2), cuda_driver=(12, 0))
    chosen = decide(machine(card(8), card(23, index=1), old))
    assert chosen.device == "cuda:1"
    assert chosen.environment()["CUDA_VISIBLE_DEVICES"] == "GPU-1"
    assert "Of 3 cards, Card 1" in words(chosen, "device")


def test_better_choices_are_named_with_their_numbers() -> None:
    chosen = decide(machine(card(10.3)))
    said = words(chosen, "precision")
    assert "16-bit (bf16) needs 15.1 GiB before its KV cache; 10.0 GiB may be used" in said
    assert "int8 would leave room for 8,448 tokens of KV cache; at least 12,288" in said


def test_an_explicit_precision_is_honoured() -> None:
    assert decide(machine(card(23)), precision="nf4").precision == "nf4"
    assert decide(machine(card(11.3)), precision="int8").precision == "int8"
    chosen = decide(machine(card(11.3)), precision="16bit")
    assert (chosen.model, chosen.precision) == ("Qwen3-4B", "bf16")


def test_an_explicit_precision_that_does_not_fit_is_refused_with_numbers() -> None:
    text = refusal(machine(card(5.2)), model="qwen3-8b", precision="nf4")
    assert "nf4 of Qwen3-8B needs 6.6 GiB" in text
    assert "5.2 GiB free on Card 0" in text


def test_a_precision_that_needs_a_card_is_refused_without_one() -> None:
    assert "int8 and nf4 need an NVIDIA card" in refusal(machine(), precision="nf4")


def test_a_hub_model_without_a_card_runs_on_transformers_by_memory() -> None:
    roomy = decide(machine(ram_gib=64), model="Qwen/Qwen3-8B")
    assert (roomy.engine, roomy.device, roomy.precision) == ("transformers", "cpu", "fp32")
    tight = decide(machine(ram_gib=24), model="Qwen/Qwen3-8B")
    assert (tight.device, tight.precision) == ("cpu", "bf16")
    assert "Qwen3-8B needs" in refusal(machine(ram_gib=8), model="Qwen/Qwen3-8B")


def test_a_gguf_file_runs_where_it_fits() -> None:
    file = str(demo_file())
    assert decide(machine(), model=file).engine == "openvino"
    assert decide(machine(card(8)), model=file).engine == "transformers"
    assert decide(machine(card(0.5)), model=file).engine == "openvino"


@pytest.mark.parametrize("free_gib", [6, 12, 24])
def test_a_named_model_never_becomes_another_one(free_gib: float) -> None:
    assert decide(machine(card(free_gib)), model="qwen3-4b").model == "Qwen3-4B"
    assert "Qwen3-4B needs" in refusal(machine(card(3)), model="qwen3-4b")


def test_the_demo_model_uses_a_card_modestly() -> None:
    chosen = decide(machine(card(23)), model="demo")
    assert (chosen.engine, chosen.device, chosen.precision) == ("transformers", "cuda:0", "bf16")
    assert chosen.kv_bytes <= GIB + 32 * MIB
    assert [one.engine for one in chosen.fallbacks] == ["openvino", "transformers"]


def test_an_explicit_context_decides_what_fits() -> None:
    chosen = decide(machine(card(7.3)), context_length=2048)
    assert (chosen.model, chosen.context_length) == ("Qwen3-8B", 2048)
    longer = decide(machine(card(15.3)), context_length=40_000)
    assert (longer.precision, longer.context_length) == ("nf4", 40_000)
    assert longer.kv_tokens >= 40_000
    assert longer.kv_tokens % 256 == 0


def test_a_context_that_the_model_cannot_read() -> None:
    text = refusal(machine(card(23)), model="qwen3-8b", context_length=140_000)
    assert "140,000 tokens is more than Qwen3-8B can read: it was trained for 32,768" in text
    assert "at most 131,072" in text
    assert "(8,192)" in refusal(machine(), model="demo", context_length=9_000)
    chosen = decide(machine(), context_length=50_000)
    assert chosen.context_length == 8_192
    assert "You asked for a context of 50,000" in words(chosen, "context")


@pytest.mark.parametrize("engine", ["auto", "vllm"])
def test_a_longer_context_than_the_models_own_is_stretched(engine: str) -> None:
    chosen = decide(machine(card(23)), context_length=60_000, engine=engine, precision="nf4")
    assert (chosen.context_length, chosen.yarn_factor) == (60_000, 2.0)
    assert "longer than the 32,768" in words(chosen, "context")
    assert "YaRN stretches it 2 times" in words(chosen, "context")
    order = chosen.engine_config("key", "cache")
    assert (order.yarn_factor, order.native_context) == (2.0, 32_768)
    far = decide(machine(card(79)), context_length=100_000, engine=engine)
    assert (far.context_length, far.yarn_factor) == (100_000, 4.0)
    assert decide(machine(card(79)), context_length=40_960, engine=engine).yarn_factor is None


def test_a_stretched_context_without_room_for_its_cache_is_refused_with_numbers() -> None:
    text = refusal(machine(card(15.3)), model="qwen3-8b", context_length=100_000)
    assert "with a KV cache of 100,096 tokens" in text


def test_explicit_concurrency_is_honoured_and_takes_no_more_cache_than_it_can_use() -> None:
    chosen = decide(machine(card(79)), max_concurrency=2)
    assert chosen.max_concurrency == 2
    assert chosen.kv_tokens == 2 * 32_768


def test_engines_are_honoured_or_refused() -> None:
    assert decide(machine(card(23)), engine="openvino").engine == "openvino"
    assert decide(machine(), engine="transformers").precision == "fp32"
    assert "reads GGUF files" in refusal(machine(), engine="openvino", model="qwen3-8b")


def test_a_remote_engine_is_not_sized() -> None:
    chosen = decide(machine(), engine="remote", model="anything")
    assert (chosen.device, chosen.model, chosen.total_bytes) == ("remote", "anything", 0)
    with pytest.raises(SetupError, match="remote"):
        chosen.engine_config("key", "cache")


@pytest.mark.parametrize(
    ("wish", "complaint"),
    [
        ({"precision": "int4"}, "must be one of auto, 16bit, int8, nf4"),
        ({"engine": "ollama"}, "must be one of auto, transformers"),
        ({"context_length": 10}, "context_length is 10, but must be at least 256"),
        ({"max_concurrency": 0}, "must be at least 1"),
    ],
)
def test_a_nonsense_wish_is_refused(wish: dict[str, Any], complaint: str) -> None:
    assert complaint in refusal(machine(), **wish)


def test_an_unknown_model_without_the_hub_becomes_the_demo_and_says_so() -> None:
    chosen = decide(machine(), model="some/model")
    assert chosen.model == "SmolLM2-135M-Instruct"
    assert "The hub is out of reach, so some/model cannot be fetched" in words(chosen, "model")
    assert "in mainland China give --hub-endpoint modelscope" in words(chosen, "model")


def test_a_full_disk_is_mentioned() -> None:
    assert "16.4" not in words(decide(machine(card(23))), "disk")
    assert "15.3 GiB and 3.0 GiB are free" in words(decide(machine(card(23), disk_gib=3)), "disk")


def test_the_order_for_the_worker_survives_its_pipe() -> None:
    order = decide(machine()).engine_config("secret", "/cache", hub_endpoint="http://hub")
    assert EngineConfig.from_json(order.to_json()) == order
    assert order.thinking_sampling == {}
    assert (order.backend, order.precision, order.threads) == ("openvino", "gguf", 8)
    assert order.default_sampling == {
        "temperature": 0.2,
        "top_p": 0.9,
        "repetition_penalty": 1.1,
    }


def test_the_order_carries_sampling_for_both_ways_of_answering_and_the_adapters() -> None:
    adapters = (Adapter("poet", "/adapters/poet"),)
    order = decide(machine(card(23))).engine_config("key", "cache", adapters=adapters)
    assert EngineConfig.from_json(order.to_json()) == order
    assert order.default_sampling["temperature"] == 0.7
    assert order.thinking_sampling["temperature"] == 0.6
    assert order.adapters == adapters
