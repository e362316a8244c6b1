"""What a card must have room for: the arithmetic, and the steps that are taken to find out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch", reason="PyTorch could not be had for this Python")

import torch
from torch import nn
from transformers import Qwen3Config, Qwen3ForCausalLM

import appliance.engine.worker.backends.transformers as backend_module
from appliance.engine.memory import DISPLAY_MARGIN
from appliance.engine.worker.backends.embeddings import EmbeddingsInRam, keep_in_ram
from appliance.engine.worker.backends.room import Room, claim, full_cache_bytes, measured
from appliance.engine.worker.backends.transformers import TransformersBackend
from appliance.engine.worker.failure import LoadFailure
from appliance.fit.catalogue import load_catalogue
from appliance.fit.workspace import workspace_bytes
from tests.engine.worker.loop_of_a_card import warm_up_as_on_a_card
from tests.engine.worker.playing import Player, ask
from tests.engine.worker.small_shape import SHAPE

GIB, MIB = 1 << 30, 1 << 20
PROMPTS = [[(11 * at + length) % 500 for at in range(length)] for length in (3, 9, 200, 5, 14, 30)]


def tiny(**more: Any) -> Any:
    return Qwen3ForCausalLM(Qwen3Config(**SHAPE | {"head_dim": 32} | more)).eval()


class Card:
    """The driver's and torch's account of a card, in place of theirs."""

    def __init__(self, patch: pytest.MonkeyPatch, *, free: int, peak: int) -> None:
        self.shares: list[float] = []
        self.free, self.kept = free, 300 * MIB
        functions = {
            "reset_peak_memory_stats": lambda: None,
            "max_memory_allocated": lambda: 5 * GIB + peak,
            "memory_allocated": lambda: 5 * GIB,
            "memory_reserved": lambda: 5 * GIB + self.kept,
            "empty_cache": self.empty,
            "mem_get_info": lambda: (self.free, 8 * GIB),
            "set_per_process_memory_fraction": self.shares.append,
        }
        for name, function in functions.items():
            patch.setattr(torch.cuda, name, function)

    def empty(self) -> None:
        self.free, self.kept = self.free + self.kept, 0


def test_what_torch_keeps_for_the_next_step_counts_as_free(monkeypatch: pytest.MonkeyPatch) -> None:
    Card(monkeypatch, free=200 * MIB, peak=250 * MIB)
    room = measured()
    assert (room.free, room.step) == (500 * MIB, 250 * MIB)
    assert room.lacking(0) == 250 * MIB + DISPLAY_MARGIN - 500 * MIB


@pytest.mark.parametrize(("more", "missing"), [(100, 0), (244, 0), (245, 1), (400, 156)])
def test_a_card_without_room_is_refused_with_numbers(
    more: int, missing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = Card(monkeypatch, free=700 * MIB, peak=500 * MIB)
    if not missing:
        claim(measured(), more * MIB)
        # All but the margin: torch lets go of what it keeps before it takes that.
        assert card.shares == [(5 * GIB + 1000 * MIB - DISPLAY_MARGIN) / (8 * GIB)]
        return
    with pytest.raises(LoadFailure, match=rf"256 MiB stay .* {missing} MiB are missing") as why:
        claim(measured(), more * MIB)
    assert (why.value.code, card.shares) == ("out_of_memory", [])


def test_a_share_is_never_more_than_the_card() -> None:
    assert Room(total=10, free=DISPLAY_MARGIN + 20, reserved=5, step=0).share == 1.0


def test_attention_over_a_full_cache_is_what_the_planner_reckons_with() -> None:
    shape = next(each.shape for each in load_catalogue().entries if each.id == "qwen3-8b")
    config = SimpleNamespace(
        get_text_config=lambda: SimpleNamespace(
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.kv_heads,
            head_dim=shape.head_dim,
        )
    )
    model = SimpleNamespace(config=config, dtype=torch.bfloat16)
    planned = workspace_bytes("transformers", shape, 2, 4, on_card=True)
    step = backend_module.batching_config(8192, 4, "cuda").max_batch_tokens
    assert step is not None
    repeated = full_cache_bytes(model, 1000, step, separate=False)
    assert 1000 * planned == pytest.approx(repeated, rel=0.01)
    # Keys and values of one layer, gathered.
    assert full_cache_bytes(model, 1000, step, separate=True) == 1000 * 2 * 8 * 128 * 2


@pytest.mark.parametrize("on_a_card", [False, True])
def test_a_card_is_tried_with_its_largest_steps(
    on_a_card: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny()
    backend = TransformersBackend(model, [], kv_tokens=600, max_concurrency=5)
    if on_a_card:
        warm_up_as_on_a_card(backend)
    else:
        backend.warm_up()
    monkeypatch.setitem(backend_module.PREFILL_ALONE, "cuda", 200)
    steps, forward = [], model.forward

    def watched(*args: Any, **batch: Any) -> Any:
        steps.append((batch["input_ids"].shape[1], len(batch["logits_indices"])))
        return forward(*args, **batch)

    model.forward = watched
    card = Card(monkeypatch, free=GIB, peak=100 * MIB)
    backend._claim_room()
    assert max(steps)[0] == 200
    assert (5, 5) in steps
    assert len(card.shares) == 1
    card.free = DISPLAY_MARGIN
    with pytest.raises(LoadFailure, match="are missing"):
        backend._claim_room()
    backend.close()


@pytest.mark.parametrize("on_a_card", [False, True])
def test_answers_are_those_of_a_table_in_its_place(on_a_card: bool) -> None:
    """With rows that come and go, and a prompt that is read beside them."""
    torch.manual_seed(0)
    model = tiny(initializer_range=0.2)
    expected = [
        model.generate(torch.tensor([each]), do_sample=False, max_new_tokens=8 + at)[0, len(each) :]
        for at, each in enumerate(PROMPTS)
    ]
    backend = TransformersBackend(model, [], kv_tokens=2000, max_concurrency=3)
    if on_a_card:
        warm_up_as_on_a_card(backend)
    else:
        keep_in_ram(model)
        backend.warm_up()
    player = Player(backend)
    played = player.play(*(ask(each, 8 + at) for at, each in enumerate(PROMPTS)))
    player.close()
    assert isinstance(model.get_input_embeddings(), EmbeddingsInRam)
    assert [each.tokens for each in played] == [each.tolist() for each in expected]


def test_embeddings_leave_the_model_and_say_the_same() -> None:
    torch.manual_seed(0)
    model, tokens = tiny(), torch.tensor([[5, 500, 5], [7, 0, 511]])
    before = model(tokens).logits
    held = sum(each.numel() for each in model.parameters())
    assert keep_in_ram(model)
    assert torch.equal(model(tokens).logits, before)
    assert held - sum(each.numel() for each in model.parameters()) == 512 * 64
    assert (model.device.type, model.dtype) == ("cpu", torch.float32)
    table = model.get_input_embeddings()
    rows = torch.empty(2, 64)
    table.look_up(torch.tensor([9, 3], dtype=torch.int32), rows)
    assert torch.equal(rows, table.weight[[9, 3]])


class Scaled(nn.Embedding):  # type: ignore[misc]
    pass


@pytest.mark.parametrize("why", ["shared with the head", "of a class of its own", "moved before"])
def test_embeddings_stay_where_they_cannot_leave(why: str) -> None:
    model = tiny(tie_word_embeddings=why == "shared with the head")
    if why == "of a class of its own":
        model.set_input_embeddings(Scaled(512, 64))
    if why == "moved before":
        keep_in_ram(model)
    table = model.get_input_embeddings()
    assert not keep_in_ram(model)
    assert model.get_input_embeddings() is table
    assert isinstance(table, EmbeddingsInRam) is (why == "moved before")
