"""One fused sampler for a whole batch: penalties, temperature, top-k, top-p, min-p, seeds, greedy.

It stands where transformers expects one of its per-request logits processors, chooses a token for
each row and marks it with +inf, so that the library's own argmax takes it. The library's separate
processors sort the whole vocabulary twice a step; this one looks at the `SLICE` best tokens and
goes through the whole vocabulary only for rows where those are not enough to be exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.generation.continuous_batching.cb_logits_processors import (
    ContinuousBatchingLogitsProcessor,
)

from appliance.engine.worker.sampling import TokenSampling

SLICE = 256
_MASK64 = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Row:
    """What one row of logits needs: its parameters (seed set) and the tokens so far."""

    sampling: TokenSampling
    prompt: Sequence[int]
    generated: Sequence[int]


class FusedSampler(ContinuousBatchingLogitsProcessor):
    """Used by the batching thread only. Not for CUDA graphs: rows live in Python."""

    supported_kwargs: dict[str, type] = {"sampling": TokenSampling}  # noqa: RUF012
    ignored_kwargs: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._rows: list[Row] = []

    def fill_defaults(self, int32_tensor: torch.Tensor) -> None:
        int32_tensor.zero_()

    def prepare_tensor_args(self, requests_with_new_token: list[Any]) -> torch.Tensor:
        """Remember the rows of the coming step; the tensor is only what the library asks for."""
        self._rows = [_row(request.state) for request in requests_with_new_token]
        return torch.zeros(len(self._rows), dtype=torch.int32)

    def __call__(self, scores: torch.Tensor, tensor_arg: torch.Tensor) -> torch.Tensor:
        return mark_choices(scores, self._rows)


def _row(state: Any) -> Row:
    """A request that lost its cache starts again with its answer as part of the prompt."""
    true_prompt = state._true_initial_tokens or len(state.initial_tokens)
    return Row(
        sampling=state.logit_processor_kwargs["sampling"],
        prompt=state.initial_tokens[:true_prompt],
        generated=state.initial_tokens[true_prompt:] + state.generated_tokens,
    )


def mark_choices(scores: torch.Tensor, rows: Sequence[Row]) -> torch.Tensor:
    """`scores` [rows, vocabulary], changed in place: each row's choice becomes its maximum."""
    for index, row in enumerate(rows):
        if row.sampling.penalised:
            _penalise(scores[index], row)
    drawing = [index for index, row in enumerate(rows) if not row.sampling.greedy]
    if drawing:
        chosen = [rows[index] for index in drawing]
        places = torch.tensor(drawing, device=scores.device)
        scores[places, _draw(scores[places], chosen)] = torch.inf
    return scores


def _penalise(scores: torch.Tensor, row: Row) -> None:
    """Repetition over prompt and answer, presence and frequency over the answer, as vLLM does."""
    sampling, device = row.sampling, scores.device
    if sampling.repetition_penalty != 1.0:
        seen = torch.tensor([*row.prompt, *row.generated], device=device)
        value = scores[seen]
        factor = sampling.repetition_penalty
        scores[seen] = torch.where(value > 0, value / factor, value * factor)
    if row.generated and (sampling.presence_penalty or sampling.frequency_penalty):
        generated = torch.tensor(row.generated, device=device)
        tokens, counts = torch.unique(generated, return_counts=True)
        scores[tokens] -= sampling.presence_penalty + sampling.frequency_penalty * counts


def _draw(scores: torch.Tensor, rows: Sequence[Row]) -> torch.Tensor:
    """One token a row; order as in transformers: temperature, top-k, top-p, min-p."""
    width = min(SLICE, scores.shape[1])
    device = scores.device

    def column(values: list[float]) -> torch.Tensor:
        return torch.tensor(values, device=device).unsqueeze(1)

    temperature = column([row.sampling.temperature for row in rows])
    top_k = column([row.sampling.top_k for row in rows])
    top_p = column([row.sampling.top_p for row in rows])
    scaled = scores / temperature
    values, tokens = scaled.topk(width, dim=1)
    limited = values.masked_fill(
        (top_k > 0) & (torch.arange(width, device=device) >= top_k), -torch.inf
    )
    everything = torch.where(
        top_k > 0, limited.logsumexp(1, keepdim=True), scaled.logsumexp(1, keepdim=True)
    )
    shares = (limited - everything).exp()
    before = shares.cumsum(1) - shares
    kept = _min_p(limited.masked_fill(before >= top_p, -torch.inf), rows)
    noise = torch.stack([_gumbel(row, width) for row in rows]).to(device)
    choice = tokens.gather(1, (kept + noise).argmax(1, keepdim=True)).squeeze(1)
    reached = before[:, -1] + shares[:, -1]
    for index in _too_wide(rows, reached.tolist(), width, scores.shape[1]):
        choice[index] = _draw_from_all(scaled[index], rows[index])
    return choice


def _min_p(values: torch.Tensor, rows: Sequence[Row]) -> torch.Tensor:
    """Drop what is less likely than `min_p` times the best. `values` are sorted."""
    least = torch.tensor([row.sampling.min_p for row in rows], device=values.device).log()
    return values.masked_fill(values < values[:, :1] + least.unsqueeze(1), -torch.inf)


def _too_wide(
    rows: Sequence[Row], reached: Sequence[float], width: int, vocabulary: int
) -> list[int]:
    """Rows whose candidates do not end within the slice."""
    if width == vocabulary:
        return []
    return [
        index
        for index, (row, share) in enumerate(zip(rows, reached, strict=True))
        if row.sampling.top_k > width or (row.sampling.top_k == 0 and share < row.sampling.top_p)
    ]


def _draw_from_all(scaled: torch.Tensor, row: Row) -> torch.Tensor:
    """The same for one row, over the whole vocabulary."""
    values, tokens = scaled.sort(descending=True)
    if row.sampling.top_k:
        values[row.sampling.top_k :] = -torch.inf
    shares = values.softmax(0)
    kept = values.masked_fill(shares.cumsum(0) - shares >= row.sampling.top_p, -torch.inf)
    kept = _min_p(kept.unsqueeze(0), [row]).squeeze(0)
    return tokens[(kept + _gumbel(row, len(kept)).to(kept.device)).argmax()]


def _gumbel(row: Row, width: int) -> torch.Tensor:
    """Gumbel noise: argmax(logits + noise) draws from softmax(logits).

    It depends on the seed and the position alone, so an answer is the same in every batch and
    after a restart of the request. Drawn on the CPU, so also the same on every device.
    """
    generator = torch.Generator()
    # Never None here: the backend gives a seed to every request that brought none.
    generator.manual_seed(_mix(row.sampling.seed or 0, len(row.generated)))
    noise = torch.empty(width).exponential_(generator=generator)
    return noise.clamp_min_(torch.finfo(torch.float32).tiny).log_().neg_()


def _mix(seed: int, position: int) -> int:
    """SplitMix64: neighbouring seeds and positions become unrelated. torch uses 32 bits."""
    value = (seed + 0x9E3779B97F4A7C15 * (position + 1)) & _MASK64
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK64
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK64
    return (value ^ (value >> 31)) >> 32
