"""Each request attends to its own keys: the arithmetic, and who gets it."""

from __future__ import annotations

from itertools import accumulate, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.engine.worker.backends import attention
from appliance.engine.worker.backends.attention import NAME, in_bundles, separate
from appliance.engine.worker.backends.weights import load_model

HEADS, SHARED, SIZE = 6, 2, 8
# How many tokens a step reads of a request, and how many it has read before.
REQUESTS = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 60)), min_size=1, max_size=9)


def ends(lengths: list[int]) -> torch.Tensor:
    return torch.tensor([0, *accumulate(lengths)], dtype=torch.int32)


def by_the_book(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """One request, token by token, with keys and values repeated for each head."""
    key, value = (one.repeat_interleave(HEADS // SHARED, dim=1) for one in (key, value))
    before = len(key) - len(query)
    rows = []
    for at, asking in enumerate(query):
        seen = key[: before + at + 1]
        weights = (torch.einsum("hd,khd->hk", asking, seen) * 0.25).softmax(1)
        rows.append(torch.einsum("hk,khd->hd", weights, value[: before + at + 1]))
    return torch.stack(rows)


@given(REQUESTS, st.sampled_from([0, 200, 10**6]))
@settings(max_examples=60)
def test_every_request_sees_its_own_keys_up_to_itself(
    requests: list[tuple[int, int]], pairs: int
) -> None:
    torch.manual_seed(len(requests))
    ends_q = ends([new for new, _ in requests])
    ends_k = ends([new + past for new, past in requests])
    query = torch.randn(int(ends_q[-1]), HEADS, SIZE)
    key, value = torch.randn(2, int(ends_k[-1]), SHARED, SIZE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "_PAIRS_A_CALL", pairs)
        attention._bundles.cache_clear()
        found = in_bundles(query, key, value, ends_q, ends_k, 9, 69, 0.25)
    attention._bundles.cache_clear()
    spans = zip(pairwise(ends_q.tolist()), pairwise(ends_k.tolist()), strict=True)
    expected = [by_the_book(query[a:b], key[c:d], value[c:d]) for (a, b), (c, d) in spans]
    torch.testing.assert_close(found, torch.cat(expected), atol=1e-5, rtol=1e-4)


def test_short_ones_share_a_call_and_long_ones_do_not() -> None:
    def calls(*keys: int) -> int:
        ones, device = tuple(range(len(keys) + 1)), torch.device("cpu")
        return len(attention._bundles(ones, (0, *accumulate(keys)), 3, device))

    assert calls(*[40] * 16) == 1
    assert calls(*[2000] * 16) == 16
    assert 1 < calls(*[300] * 16) < 16


def test_a_card_that_computes_something_else_is_found_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def blind(*parts: Any) -> torch.Tensor:
        """Forgets that a prompt's tokens must not look ahead."""
        found = in_bundles(*parts)
        found[8] = found[9]
        return found

    cpu = torch.device("cpu")
    assert attention._agrees(in_bundles, cpu, torch.bfloat16)
    assert not attention._agrees(blind, cpu, torch.bfloat16)
    assert "something else" in caplog.text


def test_a_model_on_a_cpu_gets_it_and_still_answers_alone(tiny_folder: Path) -> None:
    model = load_model(tiny_folder, "fp32", None)
    tokens = torch.tensor([[5, 6, 7, 8]])
    before = model(tokens).logits
    assert separate(model)
    assert model.config._attn_implementation == NAME
    torch.testing.assert_close(model(tokens).logits, before)


@pytest.mark.parametrize(
    "config",
    [
        {"layer_types": ["full_attention", "sliding_attention"]},
        {"sliding_window": 4096},
        {"attn_logit_softcapping": 50.0},
    ],
)
def test_models_that_attend_otherwise_are_left_alone(config: dict[str, Any]) -> None:
    text = SimpleNamespace(**config)
    model = SimpleNamespace(config=SimpleNamespace(get_text_config=lambda: text))
    assert not separate(model)
