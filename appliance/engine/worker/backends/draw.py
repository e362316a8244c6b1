"""Draws a token a row from adjusted logits: temperature, top-k, top-p, min-p, each row's seed.

Knows no library. Rows with top-k or top-p look at the `SLICE` best tokens, and are sorted as a
whole only where those are not enough to be exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch

from appliance.engine.worker.sampling import TokenSampling

SLICE = 256
_ALL = 1 << 40  # larger than any vocabulary
_MASK64 = (1 << 64) - 1
_MASK32 = (1 << 32) - 1
_SPREAD, _MURMUR = 0x9E3779B9, (0x85EBCA6B, 0xC2B2AE35)
# SplitMix64.
_GOLDEN, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


class Draw(NamedTuple):
    """A row's parameters (seed set), and how many tokens were drawn before."""

    sampling: TokenSampling
    position: int


class Draws:
    """Rows that are drawn together, made ready before their scores are known.

    What a card needs is sent to it here: sent later, it would be waited for.
    """

    def __init__(self, rows: Sequence[Draw], device: torch.device) -> None:
        limited = [i for i, row in enumerate(rows) if _is_limited(row.sampling)]
        free = [i for i, row in enumerate(rows) if not _is_limited(row.sampling)]
        self._parts = [
            (choose, places, _Rows([rows[i] for i in places], device))
            for choose, places in ((_choose_limited, limited), (_choose_free, free))
            if places
        ]

    def choose(self, scores: torch.Tensor) -> torch.Tensor:
        """One token a row; order as in transformers: temperature, top-k, top-p, min-p.

        `scores` [rows, vocabulary] may hold -inf, but not in a whole row.
        """
        if len(self._parts) == 1:  # the usual case, and no copy of all scores
            choose, _, rows = self._parts[0]
            return choose(scores, rows)
        choice = torch.empty(len(scores), dtype=torch.int64, device=scores.device)
        for choose, places, rows in self._parts:
            choice[places] = choose(scores[places], rows)
        return choice


class _Rows:
    """Parameters as columns [rows, 1] on the device; top-k of 0 is all there are."""

    def __init__(self, rows: Sequence[Draw], device: torch.device) -> None:
        self.rows = rows
        samplings = tuple(row.sampling for row in rows)
        self.widest = max(sampling.top_k or _ALL for sampling in samplings)
        self.has_min_p = any(sampling.min_p for sampling in samplings)
        self.temperatures, self.top_p, self.least, self.top_k = _columns(samplings, device)
        keys = [_mix(row.sampling.seed or 0, row.position) for row in rows]
        halves = [[_signed(key & _MASK32), _signed(key >> 32)] for key in keys]
        self.keys = sent(halves, torch.int32, device).split(1, dim=1)

    def one(self, index: int) -> _Rows:
        return _Rows([self.rows[index]], self.top_k.device)


@lru_cache(maxsize=16)
def _columns(
    samplings: tuple[TokenSampling, ...], device: torch.device
) -> tuple[torch.Tensor, ...]:
    """Temperatures, top-p, min-p as a logarithm, top-k. The same rows come step after step."""
    values = sent([(s.temperature, s.top_p, s.min_p) for s in samplings], torch.float32, device)
    temperatures, top_p, min_p = values.split(1, dim=1)
    top_k = sent([[s.top_k or _ALL] for s in samplings], torch.int64, device)
    return temperatures, top_p, min_p.log(), top_k


def _is_limited(sampling: TokenSampling) -> bool:
    return bool(sampling.top_k) or sampling.top_p < 1.0


def sent(values: Sequence[Any], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Without waiting for what the device has to do before."""
    return torch.tensor(values, dtype=dtype).to(device, non_blocking=True)


def _choose_free(scores: torch.Tensor, rows: _Rows) -> torch.Tensor:
    """Neither top-k nor top-p: no order is needed."""
    kept = _min_p(scores / rows.temperatures, rows)
    tokens = torch.arange(scores.shape[1], device=scores.device).unsqueeze(0)
    return (kept + _gumbel(rows, tokens)).argmax(1)


def _choose_limited(scores: torch.Tensor, rows: _Rows) -> torch.Tensor:
    """Of the best scores alone, as far as nobody looks further."""
    vocabulary = scores.shape[1]
    width = min(SLICE, vocabulary, rows.widest)
    values, tokens = scores.topk(width, dim=1)
    values = values / rows.temperatures
    ranks = torch.arange(width, device=scores.device)
    values = values.masked_fill(ranks >= rows.top_k, -torch.inf)
    # Shares are among the k best; where those do not fit into the slice, it is too narrow.
    whole = values.logsumexp(1, keepdim=True)
    if rows.widest >= vocabulary:
        of_all = (scores / rows.temperatures).logsumexp(1, keepdim=True)
        whole = torch.where(rows.top_k < vocabulary, whole, of_all)
    shares = (values - whole).exp()
    before = shares.cumsum(1) - shares
    kept = _min_p(values.masked_fill(before >= rows.top_p, -torch.inf), rows)
    places = (kept + _gumbel(rows, tokens)).argmax(1, keepdim=True)
    choice = tokens.gather(1, places).squeeze(1)
    if rows.widest <= width:
        return choice
    # Enough is a slice that ends in -inf, or that reaches top-p of all there is.
    reached = (rows.top_k >= vocabulary) & (before[:, -1:] + shares[:, -1:] >= rows.top_p)
    narrow = values[:, -1:].isfinite() & (rows.top_k > width) & ~reached
    for index in narrow.squeeze(1).nonzero().flatten().tolist():
        choice[index] = _choose_sorted(scores[index], rows.one(index))
    return choice


def _choose_sorted(scores: torch.Tensor, row: _Rows) -> torch.Tensor:
    """The same for one row, over the whole vocabulary."""
    values, tokens = (scores / row.temperatures).sort(descending=True)
    values[:, row.widest :] = -torch.inf
    shares = values.softmax(1)
    kept = _min_p(values.masked_fill(shares.cumsum(1) - shares >= row.top_p, -torch.inf), row)
    return tokens[0, (kept + _gumbel(row, tokens)).argmax()]


def _min_p(values: torch.Tensor, rows: _Rows) -> torch.Tensor:
    """Drop what is less likely than `min_p` times the best."""
    if not rows.has_min_p:
        return values
    return values.masked_fill(values < values.amax(1, keepdim=True) + rows.least, -torch.inf)


def _gumbel(rows: _Rows, tokens: torch.Tensor) -> torch.Tensor:
    """Gumbel noise for each row's tokens: argmax(logits + noise) draws from softmax(logits).

    It is a hash of seed, position and token, so an answer is the same in every batch, on every
    device and after a restart; two tokens whose logits change places keep their noise.
    """
    value = tokens.int() * _signed(_SPREAD)
    # 32 bits at a time: processors have no fast multiplication of 64.
    for half in rows.keys:
        value = value ^ half
        value = (value ^ _shifted(value, 16)).mul_(_signed(_MURMUR[0]))
        value = value.bitwise_xor_(_shifted(value, 13)).mul_(_signed(_MURMUR[1]))
        value = value.bitwise_xor_(_shifted(value, 16))
    # Uniform in (0, 1), finest near 0, where the largest noise comes from.
    uniform = _shifted(value, 1).float().add_(0.5).mul_(2.0**-31)
    return uniform.neg_().log1p_().neg_().log_().neg_()


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
