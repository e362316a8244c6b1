"""Generations that pages have started, each in a task of its own.

A run does not know who watches: any number of tabs, or none, may follow it, and it goes on when
the last one closes. It keeps what was said so far, so whoever comes late is shown everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Literal

from appliance.domain import (
    Admitted,
    Event,
    Finished,
    GenerationRequest,
    Phrase,
    ReasoningDelta,
    TextDelta,
)
from appliance.engine.status import Engine
from appliance.errors import ApplianceError, EngineFailed
from appliance.gateway.identity import Caller

if TYPE_CHECKING:
    from appliance.web.parts import Generator

State = Literal["waiting", "running", "done", "stopped", "failed"]
Keep = Callable[["Run"], Awaitable[None]]

logger = logging.getLogger(__name__)
LOADING = ("starting", "loading", "restarting")
SAVE_EVERY_SECONDS = 1.0
FINISHED_RUNS_KEPT = 200


class Run:
    """One generation: `text` and `reasoning` only ever grow until `state` is an end."""

    def __init__(
        self, run_id: str, owner: str, request: GenerationRequest, about: object = None
    ) -> None:
        self.id = run_id
        self.owner = owner
        self.request = request
        self.about = about
        self.state: State = "waiting"
        self.text = ""
        self.reasoning = ""
        self.failure: ApplianceError | None = None
        self.finished: Finished | None = None
        self.started = time.monotonic()
        self.first_token: float | None = None
        self.last_token = 0.0
        self.deltas = 0
        self.over = False
        self._changed = asyncio.Event()
        self._work: asyncio.Task[None] | None = None

    @property
    def error(self) -> Phrase | None:
        return self.failure.phrase if self.failure else None

    def stop(self) -> None:
        """Ends the work in the engine; what was said stays. Safe to call at any time."""
        if self._work is not None:
            self._work.cancel()

    async def ended(self) -> None:
        """Waits until it is over and written down."""
        async for _ in self.changes():
            pass

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
            case Admitted():
                self.state = "running"
            case TextDelta(text):
                self.text += text
                self._count()
            case ReasoningDelta(text):
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
    def elapsed(self) -> float:
        """Seconds since it was asked."""
        return time.monotonic() - self.started

    @property
    def rate(self) -> float | None:
        """Tokens a second since the first one, once that can be told."""
        spent = self.last_token - self.first_token if self.first_token else 0.0
        return (self.deltas - 1) / spent if spent > 0.2 else None

    def _count(self) -> None:
        self.deltas += 1
        self.last_token = time.monotonic()
        self.first_token = self.first_token or self.last_token

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Runs:
    """All runs of the pages. Belongs to one event loop; `close()` it at shutdown."""

    def __init__(self, gateway: Generator, engine: Engine) -> None:
        self._gateway = gateway
        self._engine = engine
        self._runs: dict[str, Run] = {}
        self._watches: set[asyncio.Task[None]] = set()

    def start(
        self,
        run_id: str,
        request: GenerationRequest,
        caller: Caller,
        *,
        request_id: str,
        keep: Keep,
        about: object = None,
    ) -> Run:
        """Begin a generation. `keep` writes it down: now and then, and once when it is over.

        `about` is the page's own note on what the run is for; nobody else looks at it.
        """
        run = self._runs[run_id] = Run(run_id, caller.name, request, about)
        run._work = asyncio.create_task(self._generate(run, caller, request_id))
        watch = asyncio.create_task(_watch(run, run._work, keep))
        self._watches.add(watch)
        watch.add_done_callback(self._watches.discard)
        self._forget_old()
        return run

    def get(self, run_id: str, owner: str) -> Run | None:
        """The run, if it is this owner's and still remembered."""
        run = self._runs.get(run_id)
        return run if run is not None and run.owner == owner else None

    async def close(self) -> None:
        """Stop all and wait until each has been written down."""
        for run in self._runs.values():
            run.stop()
        await asyncio.gather(*self._watches)

    async def _generate(self, run: Run, caller: Caller, request_id: str) -> None:
        await self._loaded()
        events = self._gateway.run(run.request, caller, request_id=request_id)
        async with aclosing(events):
            async for event in events:
                run.take(event)

    async def _loaded(self) -> None:
        """Who asks while the model is being loaded has time to wait for it."""
        async for status in self._engine.changes():
            if status.phase not in LOADING:
                return

    def _forget_old(self) -> None:
        over = [run.id for run in self._runs.values() if run.over]
        for run_id in over[:-FINISHED_RUNS_KEPT]:
            del self._runs[run_id]


async def _watch(run: Run, work: asyncio.Task[None], keep: Keep) -> None:
    """Saves the run while `work` goes on, and once more when it has ended, however it ended."""
    saved = 0
    while not (await asyncio.wait({work}, timeout=SAVE_EVERY_SECONDS))[0]:
        if run.deltas != saved:
            saved = run.deltas
            await _save(run, keep)
    run.state, run.failure = _outcome(work)
    await _save(run, keep)
    run.end()


def _outcome(work: asyncio.Task[None]) -> tuple[State, ApplianceError | None]:
    if work.cancelled():
        return "stopped", None
    match work.exception():
        case None:
            return "done", None
        case ApplianceError() as failure:
            return "failed", failure
        case unexpected:
            logger.error("A generation ended unexpectedly", exc_info=unexpected)
            return "failed", EngineFailed("Something unexpected went wrong. Please try again.")


async def _save(run: Run, keep: Keep) -> None:
    """A full disk must not take the answer from the screen, so this only logs."""
    try:
        await keep(run)
    except Exception:
        logger.exception("The answer %s could not be saved", run.id)
