"""The fused sampler against definitions, and against transformers' own processors."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import (
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from appliance.engine.worker.backends.controls import Controls
from appliance.engine.worker.backends.draw import SLICE
from appliance.engine.worker.backends.sampler import Row, drawing, mark_choices
from appliance.engine.worker.sampling import NEUTRAL, TokenSampling

VOCABULARY = 2000


def marked(scores: torch.Tensor, rows: list[Row]) -> torch.Tensor:
    return mark_choices(scores.clone(), rows, drawing(rows, scores.device))


def choose(logits: torch.Tensor, rows: list[Row]) -> list[int]:
    tokens: list[int] = marked(logits, rows).argmax(1).tolist()
    return tokens


def row(seed: int = 0, generated: tuple[int, ...] = (), **sampling: Any) -> Row:
    controls = Controls(sampling=replace(NEUTRAL, seed=seed, **sampling))
    return Row(controls, prompt=(1, 2, 3), generated=generated)


def logits(rows: int = 1, spread: float = 3.0) -> torch.Tensor:
    return torch.randn(rows, VOCABULARY, generator=torch.Generator().manual_seed(1)) * spread


def library_shares(scores: torch.Tensor, sampling: TokenSampling) -> torch.Tensor:
    """The distribution that transformers' `generate` would draw from."""
    ids = torch.zeros(1, 1, dtype=torch.long)
    warpers: list[Any] = [TemperatureLogitsWarper(sampling.temperature)]
    if sampling.top_k:
        warpers.append(TopKLogitsWarper(sampling.top_k))
    warpers.append(TopPLogitsWarper(sampling.top_p))
    if sampling.min_p:
        warpers.append(MinPLogitsWarper(sampling.min_p))
    for warper in warpers:
        scores = warper(ids, scores)
    return scores.softmax(-1)[0]


@pytest.mark.parametrize(
    ("spread", "sampling"),
    [
        (3.0, {"temperature": 0.7, "top_p": 0.8, "top_k": 20}),
        (3.0, {"temperature": 1.5, "top_p": 0.9}),
        (3.0, {"min_p": 0.2}),
        (3.0, {}),
        (0.1, {"top_p": 0.9}),  # flat: more candidates than the slice holds
        (0.1, {"top_k": SLICE * 2}),
    ],
)
def test_draws_follow_the_librarys_distribution(spread: float, sampling: dict[str, Any]) -> None:
    draws = 2000
    scores = logits(spread=spread)
    shares = library_shares(scores.clone(), row(**sampling).controls.sampling)
    counts: Counter[int] = Counter()
    for start in range(0, draws, 500):
        rows = [row(seed, **sampling) for seed in range(start, start + 500)]
        counts.update(choose(scores.expand(500, -1), rows))
    allowed = set(torch.nonzero(shares > 0).flatten().tolist())
    assert set(counts) <= allowed
    for token in shares.topk(5).indices.tolist():
        share = shares[token].item()
        deviation = (share * (1 - share) / draws) ** 0.5
        assert abs(counts[token] / draws - share) < 5 * deviation


def test_greedy_seeded_and_other_rows_share_a_batch() -> None:
    scores = logits(3)
    rows = [row(temperature=0.0), row(5, temperature=2.0), row(6, temperature=2.0)]
    together = choose(scores, rows)
    alone = [choose(scores[i : i + 1], [one])[0] for i, one in enumerate(rows)]
    assert together == alone
    assert together[0] == scores[0].argmax().item()


def test_draw_depends_on_seed_and_position_alone() -> None:
    scores = logits(spread=0.5)
    first = choose(scores, [row(7, (1,))])
    assert choose(scores, [row(7, (9,))]) == first
    others = {choose(scores, [row(7, (1,) * n)])[0] for n in range(2, 8)}
    assert others - set(first)


def test_penalties_are_those_of_the_definitions() -> None:
    scores = torch.zeros(1, VOCABULARY)
    scores[0, [1, 7, 8]] = torch.tensor([4.0, 3.0, -2.0])
    generated = (7, 7, 8)
    presence = marked(scores, [row(temperature=0.0, generated=generated,
                            presence_penalty=0.5, frequency_penalty=0.25)])  # fmt: skip
    assert presence[0, [1, 7, 8]].tolist() == [4.0, 3.0 - 0.5 - 0.5, -2.0 - 0.5 - 0.25]
    repetition = marked(scores, [row(temperature=0.0, generated=generated,
                              repetition_penalty=2.0)])  # fmt: skip
    assert repetition[0, [1, 7, 8]].tolist() == [2.0, 1.5, -4.0]


def test_unpenalised_greedy_rows_are_not_touched() -> None:
    scores = logits(2)
    assert marked(scores, [row(temperature=0.0)] * 2).equal(scores)
