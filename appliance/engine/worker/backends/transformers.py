"""transformers' continuous batching: CUDA, and the reference on a CPU.

All contact with the library's moving parts is here and in `sampler` and `weights`; the version is
pinned, and the tests of this folder run against it. What its loop does not check is kept from it:
`engine.Engine` admits only what fits, and values are in range before they come here.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import transformers
from transformers import ContinuousBatchingConfig, GenerationConfig
from transformers.generation.continuous_batching.cb_logits_processors import (
    ContinuousBatchingLogitsProcessorList,
)
from transformers.generation.continuous_batching.requests import GenerationOutput, RequestStatus
from transformers.generation.logits_process import LogitsProcessorList

from appliance.engine.worker.backends.base import OnFatal, Step, TokenStream
from appliance.engine.worker.backends.sampler import FusedSampler
from appliance.engine.worker.forms import Form
from appliance.engine.worker.sampling import NEUTRAL, SAMPLING_PARAMETERS, TokenSampling
from appliance.errors import InvalidRequest

# Small pages waste little cache and share short prefixes; only flash attention, which is off,
# needs the library's 256.
PAGE_TOKENS = 32
_STOP_SECONDS = 2.0


def batching_config(kv_tokens: int, max_concurrency: int, device: str) -> ContinuousBatchingConfig:
    """Everything that the library would otherwise guess from the free memory."""
    return ContinuousBatchingConfig(
        page_size=PAGE_TOKENS,
        # Every running request wastes part of its last page.
        num_blocks=-(-kv_tokens // PAGE_TOKENS) + max_concurrency,
        # Running answers stall while a piece of a long prompt of this size is read.
        max_batch_tokens=max(2048 if device == "cuda" else 128, max_concurrency),
        max_requests_per_batch=max_concurrency,
        allow_block_sharing=True,
        # Cancelling under double buffering with shared pages can end the library's loop.
        use_async_batching=False,
        use_cuda_graph=False,
        # Flash attention would be fetched from the hub at start, without being asked.
        auto_switch_to_flash=False,
        # A prompt may fill the cache: admission has made sure that it fits.
        safety_margin=0.0,
    )


class TransformersBackend:
    """A `Backend` over a loaded model. Seeds are exact as far as the arithmetic is."""

    capabilities = SAMPLING_PARAMETERS - {"logit_bias"}
    engine_version = f"transformers {transformers.__version__}, torch {torch.__version__}"

    def __init__(
        self, model: Any, end_tokens: Sequence[int], *, kv_tokens: int, max_concurrency: int
    ) -> None:
        self._end_tokens = list(end_tokens)
        self._ids = 0
        self._running: dict[TokenStream, str] = {}
        self._closing = False
        # Greedy for the library: our sampler decides, and a second draw would spoil it.
        generation = GenerationConfig(  # type: ignore[no-untyped-call]
            do_sample=False, eos_token_id=self._end_tokens or -1, pad_token_id=0
        )
        self._manager = model.init_continuous_batching(
            generation_config=generation,
            continuous_batching_config=batching_config(
                kv_tokens, max_concurrency, model.device.type
            ),
        )
        processors = ContinuousBatchingLogitsProcessorList(LogitsProcessorList([FusedSampler()]))
        processors.tensors_required = 1
        self._manager.logit_processor = processors

    def warm_up(self) -> None:
        """Build the cache and run one step, so that memory runs out now rather than later."""
        sampling = replace(NEUTRAL, seed=0)
        self._manager.start()
        self._manager.add_request([0], max_new_tokens=2, streaming=False, sampling=sampling)
        output = None
        while output is None:
            output = self._manager.get_result(timeout=0.5)
            if output is None and not self._manager.is_running():
                raise self._manager.background_thread_status.fatal_error
        if output.error is not None:
            raise RuntimeError(output.error)

    def start(self, loop: asyncio.AbstractEventLoop, on_fatal: OnFatal) -> None:
        self._loop = loop
        self._on_fatal = on_fatal
        threading.Thread(target=self._watch, name="transformers-watch", daemon=True).start()

    def check_form(self, form: Form) -> None:
        raise InvalidRequest("This engine cannot hold an answer to a form.")

    def submit(self, stream: TokenStream) -> None:
        self._ids += 1
        request_id = str(self._ids)
        self._running[stream] = request_id
        # Before add_request: the loop may answer at once.
        self._manager.register_result_handler(request_id, self._handler(stream))
        accepted = self._manager.add_request(
            list(stream.ask.prompt),
            request_id=request_id,
            max_new_tokens=stream.ask.max_tokens,
            streaming=True,
            eos_token_id=self._end_tokens or None,
            sampling=_seeded(stream.ask.sampling),
        )
        if accepted is None:
            self.cancel(stream)
            stream.fail("The engine has stopped.")

    def cancel(self, stream: TokenStream) -> None:
        request_id = self._running.pop(stream, None)
        if request_id is not None:
            self._manager.cancel_request(request_id)
            # The library forgets the request, but not who wanted to hear of it.
            router = self._manager.output_router
            with router._lock:
                router.result_handlers.pop(request_id, None)

    def close(self) -> None:
        self._closing = True
        self._manager.stop(block=True, timeout=_STOP_SECONDS, hard_stop=True)

    def _handler(self, stream: TokenStream) -> Any:
        """Called on the event loop with everything generated so far."""
        seen = 0

        def deliver(output: GenerationOutput) -> None:
            nonlocal seen
            if stream not in self._running:
                return
            tokens, seen = output.generated_tokens[seen:], len(output.generated_tokens)
            if output.status == RequestStatus.FAILED:
                del self._running[stream]
                stream.fail(f"The engine failed: {output.error}")
            elif output.status == RequestStatus.FINISHED:
                del self._running[stream]
                ended = bool(tokens) and tokens[-1] in self._end_tokens
                stream.push(Step(tokens, "stop" if ended else "length"))
            else:
                stream.push(Step(tokens, None))

        return deliver

    def _watch(self) -> None:
        """The library's loop never ends by itself: when it does, it died."""
        self._manager._generation_thread.join()
        if not self._closing:
            error = self._manager.background_thread_status.fatal_error
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._die, error)

    def _die(self, error: Exception | None) -> None:
        """On the event loop."""
        reason = error or RuntimeError("the generation loop ended")
        for stream in self._running:
            stream.fail(f"The engine failed: {reason}")
        self._running.clear()
        self._on_fatal(reason)


def _seeded(sampling: TokenSampling) -> TokenSampling:
    if sampling.seed is not None:
        return sampling
    return replace(sampling, seed=secrets.randbits(63))
