"""The short way through transformers' loop on a card: all contact with that loop is here.

prepare_batch_tensors -> Tables.fill     one transfer instead of the library's dozen
model.forward         -> Graphs.logits   one launch instead of two thousand
deliver_batch         -> once the next step is on its way, for whoever receives wants the
                         interpreter that this thread needs to send it
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch

from appliance.engine.worker.backends.decode.shortcut import take
from appliance.engine.worker.backends.decode.tables import Tables
from appliance.engine.worker.backends.embeddings import EmbeddingsInRam


class Steps(Protocol):
    def logits(self) -> torch.Tensor:
        """Of the step that the tables hold, [asked rows, vocabulary]."""
        ...


def shorten_loop(
    manager: Any, model: Any, make: Callable[[Tables, Any], Steps]
) -> Callable[[], None]:
    """From its next step on, the manager's loop takes it; what is returned takes that back. Both
    are to be called while it has no request.

    `make` is given the tables that are filled, and the library's cache.
    """
    processor = manager.batch_processor
    cache, inputs = processor.cache, processor.inputs_and_outputs
    (allocator,) = cache.cache_allocators.values()
    page_tokens: int = allocator.tokens_per_page
    longest = min(allocator.num_blocks * page_tokens, model.config.max_position_embeddings)
    pages = -(-longest // page_tokens)
    table = model.get_input_embeddings()
    in_ram = table if isinstance(table, EmbeddingsInRam) else None
    tables = Tables(allocator, inputs.max_requests_per_batch, pages, model.device, in_ram)
    steps = make(tables, cache)
    _prepare_by(tables, inputs)
    flush = _deliver_late(manager.output_router, processor, inputs)

    def step(batch: dict[str, Any]) -> torch.Tensor:
        found = steps.logits()
        flush()
        return found

    take(model, lambda batch: batch.get("tables") is tables, step)

    def offer(pages: int) -> None:
        """The library offers such steps to kernels only that it would fetch."""
        cache.max_blocks_per_request = pages
        cache.max_decode_fast_path_length = pages * page_tokens

    offer(pages)
    return lambda: offer(0)


def _prepare_by(tables: Tables, inputs: Any) -> None:
    library_prepares, library_hands_over = inputs.prepare_batch_tensors, inputs.get_model_kwargs
    short = False

    def prepare(
        requests_in_batch: list[Any],
        logits_processors: Any,
        use_decode_fast_path: bool,
        **more: Any,
    ) -> None:
        nonlocal short
        short = use_decode_fast_path
        if not short:
            library_prepares(requests_in_batch, logits_processors, use_decode_fast_path, **more)
            return
        tables.fill(requests_in_batch)
        logits_processors.prepare_tensor_args(requests_in_batch, None)
        inputs.requests_in_batch = list(requests_in_batch)
        inputs.num_request_in_batch = len(requests_in_batch)

    def hand_over(use_padding: bool = False) -> Any:
        if not short:
            return library_hands_over(use_padding=use_padding)
        return {
            "tables": tables,
            "input_ids": tables.tokens[None],
            "logits_indices": tables.wanted[: tables.asked],
            "logits_processor_args": None,
        }

    inputs.prepare_batch_tensors, inputs.get_model_kwargs = prepare, hand_over


def _deliver_late(router: Any, processor: Any, inputs: Any) -> Callable[[], None]:
    """What is returned delivers now."""
    deliver = router.deliver_batch
    waiting: list[Any] = []
    prepares, retrieves = processor.prepare_next_batch, inputs.retrieve_device_outputs

    def flush() -> None:
        outputs = waiting.copy()
        waiting.clear()
        if outputs:
            deliver(outputs)

    def prepare_next_batch() -> bool:
        """With nothing more to do, nothing is worth waiting for."""
        more = False
        try:
            more = bool(prepares())
        finally:
            if not more:
                flush()
        return more

    def retrieve_device_outputs() -> None:
        flush()
        retrieves()

    router.deliver_batch = waiting.extend
    processor.prepare_next_batch = prepare_next_batch
    inputs.retrieve_device_outputs = retrieve_device_outputs
    return flush
