"""One fused sampler for a whole batch: grammar, bias, penalties, seeds, greedy, log-probabilities.

It stands where transformers expects one of its per-request logits processors, chooses a token for
each row and marks it with +inf, so that the library's own argmax takes it. The library's separate
processors sort the whole vocabulary twice a step; `draw` does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.generation.continuous_batching.cb_logits_processors import (
    ContinuousBatchingLogitsProcessor,
)

from appliance.engine.worker.backends.base import Scored
from appliance.engine.worker.backends.controls import Controls, controls_of
from appliance.engine.worker.backends.draw import Draw, draw


@dataclass(frozen=True, slots=True)
class Row:
    """What one row of logits needs: its request's controls and the tokens so far.

    The library's own lists, not copies: they hold until the step's choices are made.
    """

    controls: Controls
    prompt: Sequence[int]
    generated: Sequence[int]


class FusedSampler(ContinuousBatchingLogitsProcessor):  # type: ignore[misc]
    """Used by the batching thread only. Not for CUDA graphs: rows live in Python."""

    supported_kwargs: dict[str, type] = {"controls": Controls}  # noqa: RUF012
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
        """Grammars are asked here, while a card still computes the logits."""
        return mark_choices(scores, self._rows)


def _row(state: Any) -> Row:
    """A request that lost its cache starts again with its answer as part of the prompt."""
    prompt, generated = state.initial_tokens, state.generated_tokens
    if true_prompt := state._true_initial_tokens:
        prompt, generated = prompt[:true_prompt], prompt[true_prompt:] + generated
    return Row(controls_of(state), prompt, generated)


def mark_choices(scores: torch.Tensor, rows: Sequence[Row]) -> torch.Tensor:
    """`scores` [rows, vocabulary], changed in place: each row's choice becomes its maximum."""
    asking = [index for index, row in enumerate(rows) if row.controls.top_logprobs is not None]
    raw = scores[asking].log_softmax(1) if asking else None
    for index, row in enumerate(rows):
        _adjust(scores[index], row)
    drawing = [index for index, row in enumerate(rows) if not row.controls.sampling.greedy]
    if drawing:
        wishes = [Draw(rows[i].controls.sampling, len(rows[i].generated)) for i in drawing]
        places = torch.tensor(drawing, device=scores.device)
        # A copy of all scores takes as long as the drawing.
        asked = scores if len(drawing) == len(rows) else scores[places]
        scores[places, draw(asked, wishes)] = torch.inf
    if raw is not None:
        chosen = scores[asking].argmax(1)
        # Of two equal maxima the library must not take the other one.
        scores[asking, chosen] = torch.inf
        _remember(raw, chosen, [rows[index].controls for index in asking])
    return scores


def _remember(raw: torch.Tensor, chosen: torch.Tensor, asking: Sequence[Controls]) -> None:
    """Log-probabilities of the chosen tokens and of the likeliest ones, for those who asked."""
    most = max(controls.top_logprobs or 0 for controls in asking)
    for controls, score in zip(asking, scored(raw, chosen, most), strict=True):
        controls.scores.append(Scored(score.logprob, score.top[: controls.top_logprobs]))


def scored(logprobs: torch.Tensor, chosen: torch.Tensor, most: int) -> Iterator[Scored]:
    """Of `logprobs` [rows, vocabulary] the chosen one of each row, and the `most` likeliest."""
    values, tokens = logprobs.topk(min(most, logprobs.shape[1]), dim=1)
    of_chosen = logprobs.gather(1, chosen.unsqueeze(1)).squeeze(1).tolist()
    likeliest = zip(tokens.tolist(), values.tolist(), strict=True)
    for logprob, top in zip(of_chosen, likeliest, strict=True):
        yield Scored(logprob, list(zip(*top, strict=True)))


def _adjust(scores: torch.Tensor, row: Row) -> None:
    """One row, in the order of vLLM: what the grammar forbids, bias, penalties."""
    controls = row.controls
    if controls.matcher is not None:
        _forbid(scores, controls.matcher.allowed(row.generated))
    # Ids beyond the vocabulary would end the loop for everybody.
    bias = [(token, value) for token, value in controls.sampling.logit_bias if token < len(scores)]
    if bias:
        tokens, values = zip(*bias, strict=True)
        scores[list(tokens)] += torch.tensor(values, dtype=scores.dtype, device=scores.device)
    if controls.sampling.penalised:
        _penalise(scores, row)


def _forbid(scores: torch.Tensor, allowed: bytes) -> None:
    """`allowed` has one bit a token, the lowest bit first; tokens beyond it are forbidden."""
    packed = torch.frombuffer(bytearray(allowed), dtype=torch.uint8).to(scores.device)
    places = torch.arange(8, dtype=torch.uint8, device=scores.device)
    bits = (packed.unsqueeze(1) >> places & 1).flatten()[: len(scores)].bool()
    scores[: len(bits)].masked_fill_(~bits, -torch.inf)
    scores[len(bits) :] = -torch.inf


def _penalise(scores: torch.Tensor, row: Row) -> None:
    """Repetition over prompt and answer, presence and frequency over the answer, as vLLM does."""
    sampling, device = row.controls.sampling, scores.device
    if sampling.repetition_penalty != 1.0:
        seen = torch.tensor([*row.prompt, *row.generated], device=device)
        value = scores[seen]
        factor = sampling.repetition_penalty
        scores[seen] = torch.where(value > 0, value / factor, value * factor)
    if row.generated and (sampling.presence_penalty or sampling.frequency_penalty):
        generated = torch.tensor(row.generated, device=device)
        tokens, counts = torch.unique(generated, return_counts=True)
        scores[tokens] -= sampling.presence_penalty + sampling.frequency_penalty * counts
