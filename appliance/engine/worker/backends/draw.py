"""Draws a token a row from adjusted logits: temperature, top-k, top-p, min-p, each row's seed.

Knows no library. Rows with top-k or top-p look at the `SLICE` best tokens, and are sorted as a
whole only where those are not enough to be exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from appliance.engine.worker.sampling import TokenSampling

SLICE = 256
_MASK64 = (1 << 64) - 1
_MASK32 = (1 << 32) - 1
_SPREAD, _MURMUR = 0x9E3779B9, (0x85EBCA6B, 0xC2B2AE35)
# SplitMix64.
_GOLDEN, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


class Draw(NamedTuple):
    """A row's parameters (seed set), and how many tokens were drawn before."""

    sampling: TokenSampling
    position: int


def draw(scores: torch.Tensor, rows: Sequence[Draw]) -> torch.Tensor:
    """One token a row; order as in transformers: temperature, top-k, top-p, min-p.

    `scores` [rows, vocabulary] may hold -inf, but not in a whole row.
    """
    limited = [i for i, row in enumerate(rows) if row.sampling.top_k or row.sampling.top_p < 1.0]
    if len(limited) == len(rows):  # the usual case, and no copy of all scores
        return _draw_limited(scores, rows)
    free = [i for i in range(len(rows)) if i not in limited]
    choice = torch.empty(len(rows), dtype=torch.int64, device=scores.device)
    if limited:
        choice[limited] = _draw_limited(scores[limited], [rows[i] for i in limited])
    choice[free] = _draw_free(scores[free], [rows[i] for i in free])
    return choice


def _draw_free(scores: torch.Tensor, rows: Sequence[Draw]) -> torch.Tensor:
    """Neither top-k nor top-p: no order is needed."""
    kept = scores / _temperatures(rows, scores)
    if any(row.sampling.min_p for row in rows):
        kept = _min_p(kept, rows)
    tokens = torch.arange(scores.shape[1], device=scores.device).unsqueeze(0)
    return (kept + _gumbel(rows, tokens)).argmax(1)


def _draw_limited(scores: torch.Tensor, rows: Sequence[Draw]) -> torch.Tensor:
    """Of the best scores alone, as far as nobody looks further."""
    vocabulary = scores.shape[1]
    most = [row.sampling.top_k or vocabulary for row in rows]
    width = min(SLICE, vocabulary, max(most))
    top_k = _column(most, scores)
    top_p = _column([row.sampling.top_p for row in rows], scores)
    temperatures = _temperatures(rows, scores)
    values, tokens = scores.topk(width, dim=1)
    values = values / temperatures
    ranks = torch.arange(width, device=scores.device)
    values = values.masked_fill(ranks >= top_k, -torch.inf)
    # Shares are among the k best; where those do not fit into the slice, it is too narrow.
    whole = values.logsumexp(1, keepdim=True)
    if max(most) >= vocabulary:
        of_all = (scores / temperatures).logsumexp(1, keepdim=True)
        whole = torch.where(top_k < vocabulary, whole, of_all)
    shares = (values - whole).exp()
    before = shares.cumsum(1) - shares
    kept = _min_p(values.masked_fill(before >= top_p, -torch.inf), rows)
    places = (kept + _gumbel(rows, tokens)).argmax(1, keepdim=True)
    choice = tokens.gather(1, places).squeeze(1)
    if max(most) <= width:
        return choice
    # Enough is a slice that ends in -inf, or that reaches top-p of all there is.
    reached = (top_k >= vocabulary) & (before[:, -1:] + shares[:, -1:] >= top_p)
    narrow = values[:, -1:].isfinite() & (top_k > width) & ~reached
    for index in narrow.squeeze(1).nonzero().flatten().tolist():
        choice[index] = _draw_sorted(scores[index] / temperatures[index], rows[index])
    return choice


def _draw_sorted(scaled: torch.Tensor, row: Draw) -> torch.Tensor:
    """The same for one row, over the whole vocabulary."""
    values, tokens = scaled.sort(descending=True)
    if row.sampling.top_k:
        values[row.sampling.top_k :] = -torch.inf
    shares = values.softmax(0)
    kept = values.masked_fill(shares.cumsum(0) - shares >= row.sampling.top_p, -torch.inf)
    kept = _min_p(kept.unsqueeze(0), [row])
    return tokens[(kept + _gumbel([row], tokens.unsqueeze(0))).argmax()]


def _min_p(values: torch.Tensor, rows: Sequence[Draw]) -> torch.Tensor:
    """Drop what is less likely than `min_p` times the best."""
    least = _column([row.sampling.min_p for row in rows], values).log()
    return values.masked_fill(values < values.amax(1, keepdim=True) + least, -torch.inf)


def _gumbel(rows: Sequence[Draw], tokens: torch.Tensor) -> torch.Tensor:
    """Gumbel noise for each row's tokens: argmax(logits + noise) draws from softmax(logits).

    It is a hash of seed, position and token, so an answer is the same in every batch, on every
    device and after a restart; two tokens whose logits change places keep their noise.
    """
    keys = [_mix(row.sampling.seed or 0, row.position) for row in rows]
    value = tokens.int() * _signed(_SPREAD)
    # 32 bits at a time: processors have no fast multiplication of 64.
    for half in (0, 32):
        key = [_signed(key >> half & _MASK32) for key in keys]
        value = value ^ torch.tensor(key, dtype=torch.int32, device=tokens.device).unsqueeze(1)
        value = (value ^ _shifted(value, 16)).mul_(_signed(_MURMUR[0]))
        value = value.bitwise_xor_(_shifted(value, 13)).mul_(_signed(_MURMUR[1]))
        value = value.bitwise_xor_(_shifted(value, 16))
    # Uniform in (0, 1), finest near 0, where the largest noise comes from.
    uniform = _shifted(value, 1).float().add_(0.5).mul_(2.0**-31)
    return uniform.neg_().log1p_().neg_().log_().neg_()


def _temperatures(rows: Sequence[Draw], like: torch.Tensor) -> torch.Tensor:
    return _column([row.sampling.temperature for row in rows], like)


def _column(values: Sequence[float], like: torch.Tensor) -> torch.Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device).unsqueeze(1)


def _shifted(value: torch.Tensor, bits: int) -> torch.Tensor:
    """32 bits to the right, with zeros from the left."""
    return (value >> bits) & ((1 << (32 - bits)) - 1)


def _signed(value: int) -> int:
    """32 bits as torch wants them."""
    return value - (1 << 32) if value >> 31 else value


def _mix(seed: int, position: int) -> int:
    """SplitMix64: neighbouring seeds and positions become unrelated."""
    value = (seed + _GOLDEN * (position + 1)) & _MASK64
    value = ((value ^ (value >> 30)) * _FIRST) & _MASK64
    value = ((value ^ (value >> 27)) * _SECOND) & _MASK64
    return value ^ (value >> 31)
