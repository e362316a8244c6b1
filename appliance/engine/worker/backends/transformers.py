"""transformers' continuous batching: CUDA, and the reference on a CPU.

All contact with the library's moving parts is here and in `sampler`, `prompt_scores`, `scheduler`,
`adapters` and `weights`; the version is pinned, and the tests of this folder run against it. What
its loop does not check is kept from it: `engine.Engine` admits only what fits, and values are in
range before they come here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import torch
import transformers
from transformers import ContinuousBatchingConfig, GenerationConfig
from transformers.generation.continuous_batching.requests import GenerationOutput, RequestStatus
from transformers.generation.continuous_batching.scheduler import SCHEDULER_MAPPING

from appliance.engine.worker.backends.adapters import Adapters
from appliance.engine.worker.backends.attention import separate
from appliance.engine.worker.backends.base import Ask, OnFatal, Step, TokenStream
from appliance.engine.worker.backends.controls import Controls
from appliance.engine.worker.backends.decode.graphs import captured
from appliance.engine.worker.backends.decode.library import shorten_loop
from appliance.engine.worker.backends.decode.shortcut import kernels_for, shorten_on_cpu
from appliance.engine.worker.backends.decode.trial import alike
from appliance.engine.worker.backends.embeddings import keep_in_ram
from appliance.engine.worker.backends.grammar import GrammarCompiler
from appliance.engine.worker.backends.prompt_scores import PromptScorer, WatchedProcessors
from appliance.engine.worker.backends.pulse import Pulse
from appliance.engine.worker.backends.room import claim, full_cache_bytes, measured
from appliance.engine.worker.backends.scheduler import SCHEDULER, TurnScheduler
from appliance.engine.worker.backends.step_budget import STEP_SECONDS, StepBudget
from appliance.engine.worker.backends.warming import take_the_largest_steps, try_out
from appliance.engine.worker.forms import CAPABILITY, Form
from appliance.engine.worker.sampling import SAMPLING_PARAMETERS
from appliance.errors import InvalidRequest

log = logging.getLogger(__name__)

# Small pages waste little cache and share short prefixes; only flash attention, which is off,
# needs the library's 256.
PAGE_TOKENS = 32
# The longest piece of a prompt that a step reads while no answer runs. An 8B model's 512 tokens are
# 8 TFLOP; what a layer makes of 1,024 takes 0.1 to 0.2 GB.
PREFILL_ALONE = {"cuda": 1024, "cpu": 256}
# While answers run: steps that take too long make it shorter. Before any was taken it is the first.
PREFILL_BESIDE = {"cuda": 512, "cpu": 128}
_FIRST_BESIDE = {"cuda": 512, "cpu": 64}
_STOP_SECONDS = 2.0


def batching_config(kv_tokens: int, max_concurrency: int, device: str) -> ContinuousBatchingConfig:
    """Everything that the library would otherwise guess from the free memory."""
    return ContinuousBatchingConfig(
        page_size=PAGE_TOKENS,
        # Every running request wastes part of its last page.
        num_blocks=-(-kv_tokens // PAGE_TOKENS) + max_concurrency,
        max_batch_tokens=max(PREFILL_ALONE[device], PREFILL_BESIDE[device] + max_concurrency),
        max_requests_per_batch=max_concurrency,
        allow_block_sharing=True,
        # Cancelling under double buffering with shared pages can end the library's loop, and a
        # grammar needs the last token before it can allow the next.
        use_async_batching=False,
        use_cuda_graph=False,
        # Flash attention would be fetched from the hub at start, without being asked.
        auto_switch_to_flash=False,
        # A prompt may fill the cache: admission has made sure that it fits.
        safety_margin=0.0,
        # The plan keeps its own margins; the library's would refuse its cache on a large card.
        max_memory_percent=1.0,
        scheduler_type=SCHEDULER,
    )


class TransformersBackend:
    """A `Backend` over a loaded model. Seeds are exact as far as the arithmetic is."""

    engine_version = f"transformers {transformers.__version__}, torch {torch.__version__}"

    def __init__(
        self,
        model: Any,
        end_tokens: Sequence[int],
        *,
        kv_tokens: int,
        max_concurrency: int,
        grammars: GrammarCompiler | None = None,
        adapters: Adapters | None = None,
    ) -> None:
        """Without `grammars` there are no forms, without `adapters` only the model itself."""
        self._end_tokens = list(end_tokens)
        self._grammars = grammars
        self._ids = 0
        self._running: dict[TokenStream, str] = {}
        self._closing = False
        self.pulse = Pulse(lambda: bool(self._running))
        self.capabilities = SAMPLING_PARAMETERS | {"logprobs", "top_logprobs"}
        if grammars is not None:
            self.capabilities |= set(CAPABILITY.values())
        if adapters is not None:
            self.capabilities |= {"adapters"}
        scorer = PromptScorer(model) if PromptScorer.can_watch(model) else None
        if scorer is not None:
            self.capabilities |= {"prompt_logprobs"}
        self._separate = separate(model)
        device = model.device.type
        self._model, self._kernels = model, None
        if device == "cuda":
            keep_in_ram(model)
            self._kernels = kernels_for(model, PAGE_TOKENS)
        else:
            shorten_on_cpu(model)
        self._scheduler = partial(
            TurnScheduler,
            switch=adapters.switch if adapters else _no_adapters,
            budget=_budget(device),
            pulse=self.pulse,
        )
        # Greedy for the library: our sampler decides, and a second draw would spoil it.
        generation = GenerationConfig(
            do_sample=False, eos_token_id=self._end_tokens or -1, pad_token_id=0
        )
        self._batching = batching_config(kv_tokens, max_concurrency, device)
        self._manager = model.init_continuous_batching(
            generation_config=generation, continuous_batching_config=self._batching
        )
        self._manager.logit_processor = WatchedProcessors(scorer, model.device)

    def warm_up(self) -> None:
        """Build the cache and run one step, so that memory runs out now rather than later."""
        SCHEDULER_MAPPING[SCHEDULER] = self._scheduler
        self._manager.start()
        expected = try_out(self._manager, self._model)
        if self._kernels is not None:
            make = partial(captured, self._kernels)
            take_back = shorten_loop(self._manager, self._model, make)
            if not alike(try_out(self._manager, self._model), expected):
                log.warning("This card's steps compute something else; the library's are taken.")
                take_back()
        if self._model.device.type == "cuda":
            self._claim_room()

    def _claim_room(self) -> None:
        """Raises LoadFailure where the card has none for the largest steps over a full cache."""
        config = self._batching
        cache = config.num_blocks * PAGE_TOKENS
        torch.cuda.reset_peak_memory_stats()
        piece = min(PREFILL_ALONE["cuda"], cache - PAGE_TOKENS)
        take_the_largest_steps(self._manager, piece, config.max_requests_per_batch)
        step = config.max_batch_tokens
        claim(measured(), full_cache_bytes(self._model, cache, step, separate=self._separate))

    def start(self, loop: asyncio.AbstractEventLoop, on_fatal: OnFatal) -> None:
        self._loop = loop
        self._on_fatal = on_fatal
        # From now on everybody has a handler, until they leave: what comes after is for nobody.
        self._manager.output_router.output_queue = _Nowhere()
        threading.Thread(target=self._watch, name="transformers-watch", daemon=True).start()

    @property
    def kv_usage(self) -> float:
        processor = self._manager.batch_processor
        parts = processor.cache.cache_allocators.values() if processor is not None else ()
        return max((_held(part) / part.num_blocks for part in parts), default=0.0)

    def check_form(self, form: Form) -> None:
        if self._grammars is not None:
            self._grammars.check(form)

    def submit(self, stream: TokenStream) -> None:
        self._ids += 1
        request_id = str(self._ids)
        try:
            controls = self._controls(stream.ask)
        except InvalidRequest as error:  # a form that nobody checked
            stream.fail(str(error))
            return
        if not self._running:
            self.pulse.beat()
        self._running[stream] = request_id
        # Before add_request: the loop may answer at once.
        self._manager.register_result_handler(request_id, self._handler(stream, controls))
        accepted = self._manager.add_request(
            list(stream.ask.prompt),
            request_id=request_id,
            max_new_tokens=stream.ask.max_tokens,
            streaming=True,
            eos_token_id=self._end_tokens or None,
            controls=controls,
        )
        if accepted is None:
            self.cancel(stream)
            stream.fail("The engine has stopped.")

    def _controls(self, ask: Ask) -> Controls:
        sampling = ask.sampling
        if sampling.seed is None:
            sampling = replace(sampling, seed=secrets.randbits(63))
        matcher = None
        if ask.form is not None and self._grammars is not None:
            matcher = self._grammars.matcher(ask.form)
        return Controls(
            sampling=sampling,
            matcher=matcher,
            top_logprobs=ask.top_logprobs,
            adapter=ask.adapter,
            prompt_scores=[] if ask.prompt_scores else None,
        )

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

    def _handler(self, stream: TokenStream, controls: Controls) -> Any:
        """Called on the event loop with everything generated so far."""
        seen = 0

        def deliver(output: GenerationOutput) -> None:
            nonlocal seen
            if stream not in self._running:
                return
            tokens, seen = output.generated_tokens[seen:], len(output.generated_tokens)
            if output.status >= RequestStatus.FINISHED:
                del self._running[stream]
            if reason := output.error or (controls.matcher and controls.matcher.failure):
                self.cancel(stream)
                stream.fail(f"The engine failed: {reason}")
                return
            finish: Literal["stop", "length"] | None = None
            if output.status == RequestStatus.FINISHED:
                ended = bool(tokens) and tokens[-1] in self._end_tokens
                finish = "stop" if ended else "length"
            stream.cached_tokens = controls.cached_tokens
            stream.prompt_scores = controls.prompt_scores or ()
            scored = min(len(tokens), len(controls.scores))
            scores = [controls.scores.popleft() for _ in range(scored)]
            stream.push(Step(tokens, finish, scores))

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


class _Nowhere:
    """In place of a queue that nobody reads."""

    def put(self, output: object) -> None:
        pass


def _budget(device: str) -> StepBudget:
    return StepBudget(
        block_tokens=PAGE_TOKENS,
        first=_FIRST_BESIDE[device],
        largest=PREFILL_BESIDE[device],
        seconds=STEP_SECONDS,
    )


def _held(allocator: Any) -> int:
    """Pages that requests hold; several may share one, and what nobody holds may be dropped."""
    return len({page for table in tuple(allocator.block_table.values()) for page in table})


def _no_adapters(name: str | None) -> None:
    """Asked only for what is configured, and nothing is."""
