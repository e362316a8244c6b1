"""One generation that a page has started: what it has said so far, and how to follow it.

A run does not know who watches: any number of tabs, or none, may follow it. It keeps what was
said, so whoever comes late is shown everything. Belongs to one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Literal

from appliance.domain import (
    Admitted,
    Event,
    Finished,
    GenerationRequest,
    Phrase,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
)
from appliance.errors import ApplianceError

State = Literal["waiting", "running", "done", "stopped", "failed"]
Keep = Callable[["Run"], Awaitable[None]]


class Run:
    """One generation: `text` and `reasoning` only ever grow until `state` is an end."""

    def __init__(
        self, run_id: str, owner: str, request: GenerationRequest, about: object = None
    ) -> None:
        self.id = run_id
        self.owner = owner
        self.request = request
        self.about = about
        self.request_id = ""
        self.state: State = "waiting"
        self.text = ""
        self.reasoning = ""
        self.failure: ApplianceError | None = None
        self.finished: Finished | None = None
        self.generation_id: str | None = None
        self.cached_age: float | None = None
        self.started = time.monotonic()
        self.first_token: float | None = None
        self.last_token = 0.0
        self.deltas = 0
        self.over = False
        self._thinking_from: float | None = None
        self._thinking_to: float | None = None
        self._call: int | None = None
        self._changed = asyncio.Event()
        self.work: asyncio.Task[None] | None = None

    @property
    def error(self) -> Phrase | None:
        return self.failure.phrase if self.failure else None

    def stop(self) -> None:
        """Ends the work in the engine; what was said stays. Safe to call at any time."""
        if self.work is not None:
            self.work.cancel()

    async def ended(self) -> None:
        """Waits until it is over and written down."""
        async for _ in self.changes():
            pass

    async def ended_within(self, seconds: float) -> bool:
        """Waits until it is over, but no longer than that; whether it is."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.ended(), seconds)
        return self.over

    async def changes(self, *, at_least_every: float | None = None) -> AsyncIterator[None]:
        """Yields at once and after every change, quick changes as one; ends when it is over.

        With `at_least_every` seconds it also yields when nothing has changed for that long.
        """
        while True:
            changed = self._changed
            yield
            if self.over:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), at_least_every)

    def take(self, event: Event) -> None:
        match event:
            case Admitted(generation_id, cache_age=age):
                self.state, self.generation_id, self.cached_age = "running", generation_id, age
            case TextDelta(text):
                self._thinking_to = self._thinking_to or time.monotonic()
                self.text += self._after_call() + text
                self._count()
            case ToolCallDelta():
                self.text += self._call_text(event)
                self._count()
            case ReasoningDelta(text):
                self._thinking_from = self._thinking_from or time.monotonic()
                self.reasoning += text
                self._count()
            case Finished():
                self.finished = event
        self._wake()

    def end(self) -> None:
        """Nothing will change any more; whoever follows is told."""
        self.over = True
        self._wake()

    @property
    def thinking(self) -> bool:
        """True while it thinks and has said nothing yet."""
        return self.state == "running" and bool(self.reasoning) and not self.text

    @property
    def thinking_seconds(self) -> float | None:
        """How long it has thought, or thought before its answer began; None without a thought."""
        if self._thinking_from is None:
            return None
        end = self._thinking_to or (self.last_token if self.over else time.monotonic())
        return max(0.0, end - self._thinking_from)

    @property
    def elapsed(self) -> float:
        """Seconds since it was asked."""
        return time.monotonic() - self.started

    @property
    def rate(self) -> float | None:
        """Tokens a second since the first one, once that can be told."""
        spent = self.last_token - self.first_token if self.first_token else 0.0
        return (self.deltas - 1) / spent if spent > 0.2 else None

    def _call_text(self, piece: ToolCallDelta) -> str:
        """A call as a block of code, for a page that can only show it."""
        begun = ""
        if piece.index != self._call:
            begun = f"{self._after_call()}\n\n```json\n{piece.name or ''} "
            self._call = piece.index
        return begun + piece.arguments

    def _after_call(self) -> str:
        if self._call is None:
            return ""
        self._call = None
        return "\n```\n\n"

    def _count(self) -> None:
        self.deltas += 1
        self.last_token = time.monotonic()
        self.first_token = self.first_token or self.last_token

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
