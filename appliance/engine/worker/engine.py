"""A loaded model: admission, the waiting line, and one stream of steps a request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from appliance.domain import Message
from appliance.engine.config import EngineFacts
from appliance.engine.worker.admission import Admission
from appliance.engine.worker.answer import Answer
from appliance.engine.worker.backends.base import Backend, OnFatal, Step, TokenStream
from appliance.engine.worker.prompt import ChatTemplate
from appliance.engine.worker.reasoning import ReasoningSplitter
from appliance.engine.worker.sampling import TokenSampling, resolve_sampling
from appliance.engine.worker.text import TextDecoder
from appliance.engine.worker.tokenizer import TextTokenizer
from appliance.errors import InvalidRequest, UnsupportedParameter

# Longer texts are encoded in a thread: tokenising is about a million characters a second.
_CHARACTERS_AT_ONCE = 8_000


@dataclass(slots=True)
class Clock:
    """Moments of one request in seconds of `time.perf_counter`; 0 until they have passed."""

    arrived: float = 0.0
    started: float = 0.0
    first_token: float = 0.0
    finished: float = 0.0

    def milliseconds(self) -> dict[str, float]:
        """Waiting for a place; from there to the first token; from there to the last."""
        first = self.first_token or self.finished
        return {
            "queue_ms": round(1e3 * (self.started - self.arrived), 1),
            "prefill_ms": round(1e3 * (first - self.started), 1),
            "decode_ms": round(1e3 * (self.finished - first), 1),
        }


@dataclass(slots=True, kw_only=True)
class Job:
    """One admitted request, ready to run."""

    prompt: Sequence[int]
    max_tokens: int
    sampling: TokenSampling
    answer: Answer
    clock: Clock


class Engine:
    """Belongs to one event loop. At most `max_concurrency` jobs run, the others wait in order."""

    def __init__(
        self,
        *,
        backend: Backend,
        tokenizer: TextTokenizer,
        template: ChatTemplate | None,
        defaults: TokenSampling,
        facts: EngineFacts,
    ) -> None:
        self.facts = facts
        self._backend = backend
        self._tokenizer = tokenizer
        self._template = template
        self._defaults = defaults
        self._admission = Admission(facts.context_length, facts.kv_tokens)
        self._places = asyncio.Semaphore(facts.max_concurrency)

    def start(self, loop: asyncio.AbstractEventLoop, on_fatal: OnFatal) -> None:
        """Begin to take jobs, on this loop."""
        self._backend.start(loop, on_fatal)

    def close(self) -> None:
        """Stop the library's thread. Jobs that still run may never end."""
        self._backend.close()

    async def chat_job(
        self,
        messages: Sequence[Message],
        *,
        enable_thinking: bool | None,
        max_tokens: int | None,
        sampling: Mapping[str, Any],
        stop: Sequence[str],
    ) -> Job:
        """Raises InvalidRequest and its kind: everything that can be refused is refused here."""
        if self._template is None:
            raise InvalidRequest(
                "This model has no chat template. Use /v1/completions.", param="messages"
            )
        if enable_thinking and not self._template.switchable:
            raise UnsupportedParameter(
                "This model cannot think before it answers. Leave out enable_thinking.",
                param="chat_template_kwargs.enable_thinking",
            )
        prompt = self._template.render(messages, enable_thinking)
        splitter = ReasoningSplitter(enabled=self._template.thinking, prompt=prompt)
        return await self._job(prompt, False, splitter, max_tokens, sampling, stop)

    async def text_job(
        self,
        prompt: str,
        *,
        max_tokens: int | None,
        sampling: Mapping[str, Any],
        stop: Sequence[str],
    ) -> Job:
        """As `chat_job`, for raw text that no template touches."""
        splitter = ReasoningSplitter(enabled=False)
        return await self._job(prompt, True, splitter, max_tokens, sampling, stop)

    async def _job(
        self,
        prompt: str,
        add_special_tokens: bool,
        splitter: ReasoningSplitter,
        max_tokens: int | None,
        sampling: Mapping[str, Any],
        stop: Sequence[str],
    ) -> Job:
        clock = Clock(arrived=time.perf_counter())
        field = "prompt" if add_special_tokens else "messages"
        resolved = resolve_sampling(sampling, self._defaults, self._backend.capabilities)
        ids = await self._encode(prompt, add_special_tokens)
        return Job(
            prompt=ids,
            max_tokens=self._admission.admit(len(ids), max_tokens, field),
            sampling=resolved,
            answer=Answer(TextDecoder(self._tokenizer.bytes), splitter, stop),
            clock=clock,
        )

    async def _encode(self, text: str, add_special_tokens: bool) -> list[int]:
        if len(text) <= _CHARACTERS_AT_ONCE:
            return self._tokenizer.encode(text, add_special_tokens=add_special_tokens)
        return await asyncio.to_thread(
            self._tokenizer.encode, text, add_special_tokens=add_special_tokens
        )

    async def run(self, job: Job) -> AsyncGenerator[Step, None]:
        """Wait for a place, then yield steps. Closing it cancels the work and frees the place.

        Raises BackendFailed.
        """
        clock = job.clock
        async with self._places:
            clock.started = time.perf_counter()
            stream = TokenStream(job.prompt, job.max_tokens, job.sampling)
            self._backend.submit(stream)
            try:
                async with aclosing(stream.steps()) as steps:
                    async for step in steps:
                        clock.first_token = clock.first_token or time.perf_counter()
                        yield step
            finally:
                clock.finished = time.perf_counter()
                self._backend.cancel(stream)
