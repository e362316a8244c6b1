"""A loaded model: its intake, the waiting line, and one stream of pieces a choice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path
from types import MappingProxyType

from appliance.domain import GenerationRequest
from appliance.engine.config import EngineFacts
from appliance.engine.worker.backends.base import Backend, OnFatal
from appliance.engine.worker.intake import Intake
from appliance.engine.worker.job import Choice, Job
from appliance.engine.worker.prompt import ChatTemplate
from appliance.engine.worker.reasoning import Parts
from appliance.engine.worker.sampling import TokenSampling
from appliance.engine.worker.segments import Segments
from appliance.engine.worker.tokenizer import TextTokenizer

_USUAL_NAMES: Mapping[str, str] = MappingProxyType({})


class Engine:
    """Belongs to one event loop. At most `max_concurrency` choices run, the others wait in order.

    `thinking_defaults` are the sampling defaults of answers that begin with thinking; None: no
    others. `weights` is the file or folder that was loaded.
    """

    def __init__(
        self,
        *,
        backend: Backend,
        tokenizer: TextTokenizer,
        template: ChatTemplate | None,
        defaults: TokenSampling,
        facts: EngineFacts,
        thinking_defaults: TokenSampling | None = None,
        weights: Path | None = None,
    ) -> None:
        self.facts = facts
        self.weights = weights
        self.tokenizer = tokenizer
        self.intake = Intake(
            backend=backend,
            tokenizer=tokenizer,
            template=template,
            defaults=defaults,
            thinking_defaults=thinking_defaults or defaults,
            facts=facts,
        )
        self._backend = backend
        self._places = asyncio.Semaphore(facts.max_concurrency)

    def start(self, loop: asyncio.AbstractEventLoop, on_fatal: OnFatal) -> None:
        """Begin to take jobs, on this loop."""
        self._backend.start(loop, on_fatal)

    @property
    def silent_seconds(self) -> float:
        """How long the library has had work and finished no step of it."""
        return self._backend.pulse.silent_seconds

    @property
    def kv_usage(self) -> float:
        """The share of the KV cache, from 0 to 1, that answers under way hold."""
        return self._backend.kv_usage

    def close(self) -> None:
        """Stop the library's thread. Jobs that still run may never end."""
        self._backend.close()

    async def job(
        self, request: GenerationRequest, fields: Mapping[str, str] = _USUAL_NAMES
    ) -> Job:
        """Raises InvalidRequest and its kind: everything that can be refused is refused here.

        `fields` says what the caller calls `constraint`, `enable_thinking`, `thinking_budget` and
        `top_logprobs`, where that is not the usual name on the wire.
        """
        return await self.intake.job(request, fields)

    async def run(self, job: Job, choice: Choice) -> AsyncGenerator[Parts, None]:
        """Wait for a place, then yield the answer as it grows, the last held-back piece included.

        Closing it cancels the work and frees the place. Raises BackendFailed.
        """
        clock = job.clock
        async with self._places:
            clock.started = clock.started or time.perf_counter()
            segments = Segments(self._backend, self.tokenizer, job, choice)
            try:
                async with aclosing(segments.pieces()) as pieces:
                    async for parts in pieces:
                        yield parts
            finally:
                clock.finished = time.perf_counter()
