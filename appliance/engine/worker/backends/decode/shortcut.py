"""Lets a model take the short way through a step that reads one token a request."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from transformers.generation.continuous_batching import PagedAttentionCache
from transformers.modeling_outputs import CausalLMOutputWithPast

from appliance.engine.worker.backends.decode.on_card import Kernels, can_run
from appliance.engine.worker.backends.decode.on_cpu import OnCpu
from appliance.engine.worker.backends.decode.reading import read
from appliance.engine.worker.backends.decode.steps import logits

log = logging.getLogger(__name__)


def shorten_on_cpu(model: Any) -> None:
    """From now on, if its family is known and nothing else is in it."""
    decoder = read(model)
    if decoder is None:
        return

    def step(batch: dict[str, Any]) -> torch.Tensor:
        operations = OnCpu(decoder, batch)
        hidden = decoder.embeddings(batch["input_ids"][0])
        return logits(decoder, operations, hidden, batch["logits_indices"])

    take(model, _is_single, step)


def kernels_for(model: Any, page_tokens: int) -> Kernels | None:
    """What the short way on a card needs; None: it is not open to this model or this card."""
    decoder = read(model)
    if decoder is None or not can_run(decoder):
        return None
    try:
        return Kernels(decoder, page_tokens)
    except (RuntimeError, OSError) as error:  # a driver or a compiler that does not fit
        log.warning("The card's steps take the library's way: %s", error)
        return None


def take(
    model: Any,
    is_short: Callable[[dict[str, Any]], bool],
    step: Callable[[dict[str, Any]], torch.Tensor],
) -> None:
    """`step` makes logits [wanted rows, vocabulary] of what the library hands to a model."""
    whole = model.forward

    @wraps(whole)
    def forward(*args: Any, **batch: Any) -> Any:
        if is_short(batch):
            return CausalLMOutputWithPast(logits=step(batch)[None])
        return whole(*args, **batch)

    model.forward = forward


def _is_single(batch: dict[str, Any]) -> bool:
    """One token a request, and something before it."""
    if not isinstance(batch.get("cache"), PagedAttentionCache):
        return False
    return bool(batch["max_length_q"] == 1 and batch["read_index"][0].numel())
