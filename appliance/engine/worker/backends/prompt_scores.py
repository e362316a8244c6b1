"""Log-probabilities of prompts, read off the steps that compute them.

transformers' loop makes logits for the last token of a prompt only. For requests that ask, this
takes the model's last hidden states as they pass by, a few rows at a time, so that no prompt is
computed twice and a long one takes no more memory. Everything here runs on the batching thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.generation.continuous_batching.cb_logits_processors import (
    ContinuousBatchingLogitsProcessorList,
)
from transformers.generation.logits_process import LogitsProcessorList

from appliance.engine.worker.backends.base import Scored
from appliance.engine.worker.backends.controls import Controls, controls_of
from appliance.engine.worker.backends.sampler import FusedSampler, scored

# Of logits that exist at a time: 40 MB with Qwen3's vocabulary.
_ROWS = 64
# What some models do to their logits after the last layer, which is not done here.
_CHANGES_LOGITS = ("final_logit_softcapping", "logits_scaling", "logit_scale")


@dataclass(frozen=True, slots=True)
class Span:
    """Rows `begin` to `end` of a step's tokens, and what truly follows each. What is found goes to
    `scores`, with the `most` likeliest."""

    scores: list[Scored]
    most: int
    begin: int
    end: int
    following: Sequence[int]


class PromptScorer:
    """Watches the model's steps. `note` is told of each before it is computed."""

    def __init__(self, model: Any) -> None:
        self._head = model.get_output_embeddings()
        self._spans: list[Span] = []
        model.base_model.register_forward_hook(self._read)

    @staticmethod
    def can_watch(model: Any) -> bool:
        """Whether the last layer alone makes the logits."""
        config = model.config.get_text_config()
        plain = all(getattr(config, name, None) in (None, 1.0) for name in _CHANGES_LOGITS)
        return plain and isinstance(model.get_output_embeddings(), torch.nn.Linear)

    def note(self, batch: Sequence[Any]) -> None:
        """`batch` is the library's: each request with how many tokens this step reads of it."""
        self._spans, row = [], 0
        for request in batch:
            span = _span(controls_of(request.state), request, row)
            self._spans += [span] if span else []
            row += request.query_length

    def _read(self, module: Any, inputs: Any, output: Any) -> None:
        hidden = output[0][0]
        for span in self._spans:
            for at in range(span.begin, span.end, _ROWS):
                self._score(span, hidden, at, min(at + _ROWS, span.end))

    def _score(self, span: Span, hidden: torch.Tensor, begin: int, end: int) -> None:
        logprobs = self._head(hidden[begin:end]).float().log_softmax(1)
        following = span.following[begin - span.begin : end - span.begin]
        chosen = torch.tensor(following, device=logprobs.device)
        span.scores.extend(scored(logprobs, chosen, span.most))


class WatchedProcessors(ContinuousBatchingLogitsProcessorList):  # type: ignore[misc]
    """Our sampler in the library's list, which is told of a whole batch before it is computed."""

    def __init__(self, scorer: PromptScorer | None, device: torch.device) -> None:
        super().__init__(LogitsProcessorList())
        self._sampler, self._scorer = FusedSampler(device), scorer
        self.supported_keys, self.do_processing = {"controls": Controls}, True

    def prepare_tensor_args(self, requests_in_batch: list[Any], arg_storage: Any) -> Any:
        """Nothing goes into the library's storage, which would be one more transfer to wait for."""
        if self._scorer is not None:
            self._scorer.note(requests_in_batch)
        self._sampler.prepare([each.state for each in requests_in_batch if each.has_new_token])
        return arg_storage

    def __call__(self, input_ids: Any, scores: torch.Tensor, logits_processor_args: Any) -> Any:
        return self._sampler.choose(scores)


def _span(controls: Controls, request: Any, row: int) -> Span | None:
    """What is new of a prompt in this step: a request that lost its cache is read again."""
    scores, state, read = controls.prompt_scores, request.state, request.query_length
    if scores is None:
        return None
    prompt = state.initial_tokens[: state._true_initial_tokens or None]
    # The library has moved it on by now.
    past = state.position_offset - read
    begin, end = len(scores), min(past + read, len(prompt) - 1)
    if not past <= begin < end:
        return None
    following = prompt[begin + 1 : end + 1]
    rows = (row + begin - past, row + end - past)
    return Span(scores, controls.top_logprobs or 0, *rows, following)
