"""Generations that pages have started, each in a task of its own.

It goes on when the last tab that follows it closes, and is written down as it grows, so that
neither a closed tab nor a crash loses more than a moment of it.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from typing import TYPE_CHECKING

from appliance.domain import GenerationRequest
from appliance.engine.status import Engine
from appliance.errors import ApplianceError, EngineFailed
from appliance.gateway.context import UNNAMED, Origin
from appliance.gateway.identity import Caller
from appliance.ledger.stops import Stops
from appliance.web.run import Keep, Run, State

if TYPE_CHECKING:
    from appliance.web.parts import Generator, Runner

logger = logging.getLogger(__name__)
LOADING = ("starting", "loading", "restarting")
SAVE_EVERY_SECONDS = 1.0
HEED_EVERY_SECONDS = 0.4
FINISHED_RUNS_KEPT = 200


class Runs:
    """All runs of the pages. Belongs to one event loop; `close()` it at shutdown."""

    def __init__(self, gateway: Generator, engine: Engine, stops: Stops | None = None) -> None:
        """`stops` are notes between appliances that share a ledger; None for one alone."""
        self._stops = stops
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
        origin: Origin = UNNAMED,
        gateway: Runner | None = None,
    ) -> Run:
        """Begin a generation. `keep` writes it down: now and then, and once when it is over.

        `about` is the page's own note on what the run is for; nobody else looks at it.
        `origin` goes into the ledger's row; `gateway` is asked in place of the usual one.
        """
        run = self._runs[run_id] = Run(run_id, caller.name, request, about)
        run.request_id = request_id
        run.work = asyncio.create_task(self._generate(run, caller, origin, gateway))
        watch = asyncio.create_task(_watch(run, run.work, keep))
        self._watches.add(watch)
        watch.add_done_callback(self._watches.discard)
        self._forget_old()
        return run

    def get(self, run_id: str, owner: str) -> Run | None:
        """The run, if it is this owner's and still remembered."""
        run = self._runs.get(run_id)
        return run if run is not None and run.owner == owner else None

    async def stop(self, run_id: str, owner: str) -> None:
        """Ends the run and waits for it; one of another appliance ends within moments."""
        if run := self.get(run_id, owner):
            run.stop()
            await run.ended()
        elif self._stops is not None:
            await self._stops.wish(run_id, owner)

    async def heed(self) -> None:
        """Stops what other appliances were asked to stop, until cancelled."""
        while self._stops is not None:
            under_way = [run.id for run in self._runs.values() if not run.over]
            try:
                wished = await self._stops.wished(under_way) if under_way else ()
            except Exception:  # a server that restarts; the note stays there
                logger.debug("It is not known what is to be stopped", exc_info=True)
                wished = ()
            for run_id, owner in wished:
                if run := self.get(run_id, owner):
                    run.stop()
            await asyncio.sleep(HEED_EVERY_SECONDS)

    def forget(self, run_id: str, owner: str) -> None:
        """Lets go of what a run of this owner has said, once it is over."""
        run = self.get(run_id, owner)
        if run is not None and run.over:
            del self._runs[run_id]

    async def close(self) -> None:
        """Stop all and wait until each has been written down."""
        for run in self._runs.values():
            run.stop()
        await asyncio.gather(*self._watches)

    async def _generate(
        self, run: Run, caller: Caller, origin: Origin, gateway: Runner | None
    ) -> None:
        await self._loaded()
        events = (gateway or self._gateway).run(
            run.request, caller, request_id=run.request_id, origin=origin
        )
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
