"""What the planner orders of vLLM: model, precision, its share of the card, and what follows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.engine.config import EngineConfig
from appliance.errors import SetupError
from appliance.fit.catalogue import load_catalogue
from appliance.fit.decision import Plan
from appliance.fit.hardware import GIB
from appliance.fit.hf_config import ModelFiles
from appliance.fit.plan import after_failure, plan
from appliance.fit.wish import Wish
from tests.fit.machines import card, machine
from tests.fit.test_describe import LLAMA
from tests.fit.test_plan import decide, refusal, words

QWEN = load_catalogue().automatic[0]


@pytest.mark.parametrize(
    ("free_gib", "capability", "location", "precision"),
    [
        (79, (9, 0), "Qwen/Qwen3-8B-FP8", "fp8"),
        (15.3, (8, 9), "Qwen/Qwen3-8B-FP8", "fp8"),
        (11.3, (12, 0), "Qwen/Qwen3-8B-AWQ", "awq"),
        (23.3, (8, 6), "Qwen/Qwen3-8B", "bf16"),
        (23.3, (7, 5), "Qwen/Qwen3-8B", "fp16"),
        (11.3, (8, 6), "Qwen/Qwen3-8B-AWQ", "awq"),
        (5.2, (8, 6), "Qwen/Qwen3-1.7B", "nf4"),
    ],
)
def test_each_card_gets_the_weights_it_is_good_at(
    free_gib: float, capability: tuple[int, int], location: str, precision: str
) -> None:
    chosen = decide(machine(card(free_gib, capability=capability)), engine="vllm")
    assert (chosen.engine, chosen.device) == ("vllm", "cuda:0")
    assert (chosen.source.location, chosen.precision) == (location, precision)
    if precision in ("fp8", "awq"):
        assert location in words(chosen, "precision")


@pytest.mark.parametrize(
    ("precision", "expected"), [("16bit", "bf16"), ("nf4", "nf4"), ("fp8", "fp8"), ("awq", "awq")]
)
def test_a_named_precision_is_taken(precision: str, expected: str) -> None:
    chosen = decide(machine(card(23)), engine="vllm", precision=precision)
    assert chosen.precision == expected


def test_its_share_leaves_what_others_hold_on_the_card() -> None:
    gpu = card(15.3)
    chosen = decide(machine(gpu), engine="vllm")
    share = chosen.gpu_memory_fraction
    assert share is not None
    assert share * gpu.total_bytes + 512 * 1024**2 <= chosen.total_bytes
    assert chosen.total_bytes <= gpu.free_bytes - 256 * 1024**2
    assert share * gpu.total_bytes >= chosen.weight_bytes + chosen.kv_bytes + GIB
    assert "leaves the rest of the card to the display" in words(chosen, "device")


def test_the_order_survives_its_pipe() -> None:
    chosen = decide(machine(card(23)), engine="vllm", max_concurrency=4)
    order = chosen.engine_config("key", "/cache")
    assert EngineConfig.from_json(order.to_json()) == order
    assert (order.backend, order.model, order.max_concurrency) == ("vllm", "Qwen3-8B", 4)
    assert order.gpu_memory_fraction == chosen.gpu_memory_fraction
    assert chosen.environment()["CUDA_VISIBLE_DEVICES"] == "GPU-0"


def test_without_a_card_it_runs_on_the_cpu() -> None:
    chosen = decide(machine(), engine="vllm")
    assert (chosen.model, chosen.device, chosen.precision) == ("Qwen3-0.6B", "cpu", "fp32")
    assert chosen.gpu_memory_fraction is None
    order = chosen.engine_config("key", "/cache")
    assert order.kv_bytes >= order.kv_tokens * QWEN.shape.head_dim
    tight = decide(machine(ram_gib=5.5), engine="vllm", model="qwen3-0.6b")
    assert tight.precision == "bf16"


def test_when_it_does_not_start_our_own_engine_takes_the_model() -> None:
    chosen = decide(machine(card(15.3)), engine="vllm")
    engines = [(one.engine, one.model) for one in chosen.fallbacks]
    assert ("transformers", "Qwen3-8B") in engines
    assert engines[-1] == ("transformers", "SmolLM2-135M-Instruct")
    instead = after_failure(chosen, "missing_package")
    assert instead is not None
    assert (instead.engine, instead.model, instead.precision) == (
        "transformers",
        "Qwen3-8B",
        "int8",
    )


def test_what_it_cannot_do_is_refused_with_the_reason() -> None:
    strong, ampere = machine(card(23)), machine(card(23, capability=(8, 6)))
    assert "cannot run" in refusal(strong, engine="vllm", precision="int8")
    assert "cannot run" in refusal(strong, engine="vllm", model="demo")
    assert "has no 8-bit floats: its compute capability is 8.6" in refusal(
        ampere, engine="vllm", model="qwen3-8b", precision="fp8"
    )
    assert "is for engine vllm" in refusal(strong, model="qwen3-8b", precision="awq")
    assert "in 16bit only" in refusal(machine(), engine="vllm", precision="fp8")
    assert "on Linux only" in refusal(replace(strong, platform="windows"), engine="vllm")


def decide_packed(method: str, capability: tuple[int, int], engine: str) -> Plan:
    files = ModelFiles(LLAMA | {"quantization_config": {"quant_method": method}})
    wish = Wish(model="some/packed", engine="vllm" if engine == "vllm" else "auto")
    gpu = card(23, capability=capability)
    return plan(machine(gpu), wish, load_catalogue(), find_config=lambda _: files)


def test_weights_that_are_quantised_already_run_as_they_are() -> None:
    chosen = decide_packed("awq", (8, 6), "vllm")
    assert (chosen.precision, chosen.source.location) == ("awq", "some/packed")
    assert decide_packed("fp8", (8, 9), "vllm").precision == "fp8"
    with pytest.raises(SetupError, match="no 8-bit floats"):
        decide_packed("fp8", (8, 6), "vllm")
    with pytest.raises(SetupError, match="already quantised"):
        decide_packed("awq", (8, 6), "auto")
