"""Steps of one token: which models take the short way, and that it leads to the same place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("torch", reason="PyTorch could not be had for this Python")

import torch
from peft import LoraConfig, inject_adapter_in_model
from transformers import (
    GemmaConfig,
    GemmaForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

import appliance.engine.worker.backends.transformers as backend_module
from appliance.engine.worker.backends.decode.on_card import can_run
from appliance.engine.worker.backends.decode.products import _read
from appliance.engine.worker.backends.decode.reading import read
from appliance.engine.worker.backends.transformers import TransformersBackend
from tests.engine.worker.loop_of_a_card import OnTables, warm_up_as_on_a_card
from tests.engine.worker.playing import Player, ask
from tests.engine.worker.small_shape import SHAPE

YARN = {
    "rope_type": "yarn",
    "rope_theta": 10_000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 512,
}


def llama(**more: Any) -> Any:
    return LlamaForCausalLM(LlamaConfig(**SHAPE | more))


def qwen2() -> Any:
    """Its linear layers have biases, which start as zeros."""
    model: Any = Qwen2ForCausalLM(Qwen2Config(**SHAPE))
    for name, weight in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(weight, std=0.5)
    return model


def qwen3() -> Any:
    """Its queries and keys have norms, which start as ones."""
    model: Any = Qwen3ForCausalLM(Qwen3Config(**SHAPE, head_dim=32))
    for name, weight in model.named_parameters():
        if name.endswith(("q_norm.weight", "k_norm.weight")):
            torch.nn.init.uniform_(weight, 0.5, 1.5)
    return model


FAMILIES: dict[str, Callable[[], Any]] = {
    "llama": llama,
    "with biases": qwen2,
    "with norms of queries and keys": qwen3,
    "stretched": lambda: llama(rope_parameters=YARN),
    "tied": lambda: llama(tie_word_embeddings=True),
}


def answers(model: Any, patch: pytest.MonkeyPatch, *, short: bool) -> list[list[int]]:
    """Of many short requests, and of one that is far longer than they are."""
    forward, steps = model.forward, 0
    if not short:
        patch.setattr(backend_module, "shorten_on_cpu", lambda model: None)
    backend = TransformersBackend(model.eval(), [], kv_tokens=3000, max_concurrency=6)
    shortened = model.forward

    def counted(*args: Any, **batch: Any) -> Any:
        nonlocal steps
        steps += batch["max_length_q"] == 1
        return shortened(*args, **batch)

    counted.__wrapped__ = forward  # type: ignore[attr-defined]
    model.forward = counted
    backend.warm_up()
    player = Player(backend)
    lengths = [3, 9, 20, 5, 14, 600]
    prompts = [[(11 * at + length) % 500 for at in range(length)] for length in lengths]
    played = player.play(*(ask(prompt, 24) for prompt in prompts))
    player.close()
    model.forward = forward
    assert not player.fatal
    assert steps > 20
    return [each.tokens for each in played]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_short_way_leads_where_the_librarys_does(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = FAMILIES[family]()
    assert read(model) is not None
    short = answers(model, monkeypatch, short=True)
    assert short == answers(model, monkeypatch, short=False)
    assert len({token for tokens in short for token in tokens}) > 20


def with_adapter() -> Any:
    """What stands where linear layers stood adds to what they say."""
    inject: Any = inject_adapter_in_model
    return inject(LoraConfig(target_modules=["v_proj"]), llama())


UNKNOWN: dict[str, Callable[[], Any]] = {
    "another family": lambda: GemmaForCausalLM(GemmaConfig(**SHAPE, head_dim=16)),
    "another activation": lambda: llama(hidden_act="gelu"),
    "frequencies that change with the length": lambda: llama(
        rope_parameters={"rope_type": "dynamic", "rope_theta": 10_000.0, "factor": 2.0}
    ),
    "an adapter": with_adapter,
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_what_is_not_known_keeps_to_the_librarys_way(what: str) -> None:
    assert read(UNKNOWN[what]()) is None


@pytest.mark.parametrize(
    ("dtype", "shape", "known"),
    [
        (torch.bfloat16, {}, True),
        (torch.float16, {}, True),
        (torch.float32, {}, False),
        (torch.bfloat16, {"head_dim": 96}, False),
        (torch.bfloat16, {"num_attention_heads": 32, "num_key_value_heads": 2}, False),
        (torch.bfloat16, {"intermediate_size": 100}, False),
    ],
)
def test_kernels_are_for_shapes_that_their_loads_fit(
    dtype: torch.dtype, shape: dict[str, Any], known: bool
) -> None:
    decoder = read(llama(**({"head_dim": 64} | shape)).to(dtype))
    assert decoder is not None
    assert can_run(decoder) is known


def test_kernels_want_every_norm_in_the_models_own_type() -> None:
    model = llama(head_dim=64).to(torch.bfloat16)
    model.model.norm.float()
    decoder = read(model)
    assert decoder is not None
    assert not can_run(decoder)


def test_layers_with_one_input_become_one_product() -> None:
    cpu = torch.device("cpu")
    layers = tuple(torch.nn.Linear(128, n, dtype=torch.bfloat16) for n in (64, 32, 16))
    group = _read(layers, cpu)
    assert group is not None
    assert (group.bits, group.features, group.inputs) == (16, [64, 32, 16], 128)
    # What the kernels find: weights first, then the bias; features, and those of the layers before.
    assert group.table[:, 0].tolist() == [layer.weight.data_ptr() for layer in layers]
    assert group.table[:, 6].tolist() == [layer.bias.data_ptr() for layer in layers]
    assert group.table[:, 7:].tolist() == [[64, 0], [32, 64], [16, 96]]


@pytest.mark.parametrize(
    "layers",
    [
        pytest.param([torch.nn.Linear(128, 64)], id="32 bits"),
        pytest.param([torch.nn.Linear(96, 64, dtype=torch.bfloat16)], id="odd inputs"),
        pytest.param([torch.nn.Linear(128, 40, dtype=torch.bfloat16)], id="odd features"),
        pytest.param(
            [torch.nn.Linear(128, 64, dtype=torch.bfloat16), torch.nn.Linear(128, 64)],
            id="of two kinds",
        ),
    ],
)
def test_other_layers_are_left_to_themselves(layers: list[Any]) -> None:
    assert _read(tuple(layers), torch.device("cpu")) is None


class Wrong(OnTables):
    """A card that computes, but not this."""

    def logits(self) -> torch.Tensor:
        return super().logits().roll(1, dims=1)


@pytest.mark.parametrize(("steps", "believed"), [(OnTables, True), (Wrong, False)])
def test_a_card_is_believed_when_it_computes_what_the_library_does(
    steps: type[OnTables], believed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(0)
    backend = TransformersBackend(llama().eval(), [], kv_tokens=600, max_concurrency=2)
    [made] = warm_up_as_on_a_card(backend, steps)
    tried = made.steps
    player = Player(backend)
    [played] = player.play(ask([5, 6, 7], 12))
    player.close()
    assert tried == 1
    assert (made.steps - tried, len(played.tokens)) == (11 if believed else 0, 12)
    assert ("something else" in caplog.text) is not believed
