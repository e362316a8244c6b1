"""One fused sampler for a whole batch: grammar, bias, penalties, seeds, greedy, log-probabilities.

It stands where transformers expects its logits processors, chooses a token for
each row and marks it with +inf, so that the library's own argmax takes it. The library's separate
processors sort the whole vocabulary twice a step; `draw` does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from appliance.engine.worker.backends.base import Scored
from appliance.engine.worker.backends.controls import Controls, controls_of
from appliance.engine.worker.backends.draw import Draw, Draws, sent


@dataclass(frozen=True, slots=True)
class Row:
    """What one row of logits needs: its request's controls and the tokens so far.

    The library's own lists, not copies: they hold until the step's choices are made.
    """

    controls: Controls
    prompt: Sequence[int]
    generated: Sequence[int]


class FusedSampler:
    """Used by the batching thread only. Not for CUDA graphs: rows live in Python."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._rows: list[Row] = []
        self._drawing: Drawing | None = None

    def prepare(self, states: Sequence[Any]) -> None:
        """Everything about the coming step's rows that does not need their logits."""
        self._rows = [_row(state) for state in states]
        self._drawing = drawing(self._rows, self._device)

    def choose(self, scores: torch.Tensor) -> torch.Tensor:
        """Grammars are asked here, while a card still computes the logits."""
        if scores.is_cuda:  # what was made ready was sent in the order of another stream
            torch.cuda.current_stream().wait_stream(torch.cuda.default_stream())
        # A prompt that is still being read has a row too, which nobody reads.
        mark_choices(scores[: len(self._rows)], self._rows, self._drawing)
        return scores


def _row(state: Any) -> Row:
    """A request that lost its cache starts again with its answer as part of the prompt."""
    prompt, generated = state.initial_tokens, state.generated_tokens
    if true_prompt := state._true_initial_tokens:
        prompt, generated = prompt[:true_prompt], prompt[true_prompt:] + generated
    return Row(controls_of(state), prompt, generated)


@dataclass(frozen=True, slots=True)
class Drawing:
    """The rows that draw, and how; `places` None: all of them."""

    places: torch.Tensor | None
    draws: Draws

    def mark(self, scores: torch.Tensor) -> None:
        # A copy of all scores takes as long as the drawing.
        asked = scores if self.places is None else scores[self.places]
        choice = self.draws.choose(asked)
        if self.places is None:
            scores.scatter_(1, choice.unsqueeze(1), torch.inf)
        else:
            # A number in its place would be sent to a card, and waited for.
            scores.index_put_((self.places, choice), scores.new_full((), torch.inf))


def drawing(rows: Sequence[Row], device: torch.device) -> Drawing | None:
    """None: all rows are greedy."""
    places = [index for index, row in enumerate(rows) if not row.controls.sampling.greedy]
    if not places:
        return None
    draws = [Draw(rows[i].controls.sampling, len(rows[i].generated)) for i in places]
    some = None if len(places) == len(rows) else sent(places, torch.int64, device)
    return Drawing(some, Draws(draws, device))


def mark_choices(
    scores: torch.Tensor, rows: Sequence[Row], drawing: Drawing | None
) -> torch.Tensor:
    """`scores` [rows, vocabulary], changed in place: each row's choice becomes its maximum."""
    asking = [index for index, row in enumerate(rows) if row.controls.top_logprobs is not None]
    raw = scores[asking].log_softmax(1) if asking else None
    for index, row in enumerate(rows):
        if row.controls.adjusts:
            _adjust(scores[index], row)
    if drawing is not None:
        drawing.mark(scores)
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
