"""Our engine as the rest of the house sees it: there, unloaded, or on its way back.

How its process is kept alive stands in `engine.lives`; this is when there is one at all.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

from appliance.domain import Phrase
from appliance.engine.config import Endpoint
from appliance.engine.lives import Lives
from appliance.engine.occupancy import Occupancy
from appliance.engine.orders import Orders
from appliance.engine.status import EngineStatus, StatusBoard, unavailable

# How long running answers have to end before the memory is taken from them.
DRAIN_SECONDS = 30.0
# How long a request waits for an engine that was unloaded because nobody used it.
WAKE_SECONDS = 300.0

BY_HAND = Phrase("Unloaded by hand; its memory is free for other programs.")


class Supervisor:
    """An `Engine` made of one process after the other. Belongs to one event loop.

    `idle_seconds`: unloaded when nobody has used it for so long; None: never.
    """

    def __init__(
        self, orders: Orders, *, log_path: Path, idle_seconds: float | None = None
    ) -> None:
        self._idle_seconds = idle_seconds
        self._board = StatusBoard()
        self._occupancy = Occupancy()
        self._lives = Lives(orders, self._board, self._occupancy, log_path)
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def status(self) -> EngineStatus:
        return self._board.status

    def changes(self) -> AsyncIterator[EngineStatus]:
        return self._board.changes()

    @property
    def pid(self) -> int | None:
        return self._lives.life.pid if self._lives.life else None

    def endpoint(self) -> Endpoint:
        endpoint = self._lives.life.endpoint() if self._lives.life else None
        if self.status.phase != "ready" or endpoint is None:
            raise unavailable(self.status)
        return endpoint

    @contextlib.asynccontextmanager
    async def lease(self) -> AsyncIterator[Endpoint]:
        if self.status.on_demand:
            await self._awake()
        endpoint = self.endpoint()
        with self._occupancy.used():
            yield endpoint

    async def start(self) -> None:
        if self._running("live"):
            return
        self._board.publish(phase="starting", notice=None)
        self._run("live", self._lives.run())
        if self._idle_seconds is not None and not self._running("rest"):
            self._run("rest", self._rest_when_idle(self._idle_seconds))

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def stop(self) -> None:
        for name in ("rest", "leave", "live"):
            await self._end(name)
        self._board.publish(phase="stopped", facts=None)

    async def unload(self) -> None:
        if self.status.phase == "unloaded":
            self._board.publish(on_demand=False, facts=None, reason=BY_HAND)
        elif self._running("leave"):
            self._board.publish(on_demand=False, reason=BY_HAND)
        else:
            self._leave(BY_HAND, on_demand=False)

    async def load(self) -> None:
        if leaving := self._tasks.get("leave"):
            await asyncio.wait({leaving})
        await self.start()

    async def _awake(self) -> None:
        """Wait until an engine that was idle has loaded again, or cannot."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WAKE_SECONDS):
                async for status in self.changes():
                    if not status.on_demand:
                        return
                    if status.phase == "unloaded":
                        await self.load()

    async def _rest_when_idle(self, seconds: float) -> None:
        while True:
            await self._occupancy.idle_for(seconds)
            if self.status.phase == "ready":
                reason = Phrase(
                    "Unloaded after %(minutes)s minutes without a request; the next request loads "
                    "it again.",
                    {"minutes": f"{seconds / 60:g}"},
                )
                self._leave(reason, on_demand=True)
            async for status in self.changes():
                if status.phase == "ready":
                    break

    def _leave(self, reason: Phrase, *, on_demand: bool) -> None:
        self._board.publish(phase="unloading", reason=reason, on_demand=on_demand)
        self._run("leave", self._leave_in_order())

    async def _leave_in_order(self) -> None:
        await self._occupancy.drained(DRAIN_SECONDS)
        await self._end("live")
        status = self.status
        # Who may simply ask again still sees what would answer.
        facts = status.facts if status.on_demand else None
        self._board.publish(phase="unloaded", reason=status.reason, facts=facts)

    def _running(self, name: str) -> bool:
        task = self._tasks.get(name)
        return task is not None and not task.done()

    def _run(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self._tasks[name] = asyncio.create_task(work, name=f"engine: {name}")

    async def _end(self, name: str) -> None:
        task = self._tasks.pop(name, None)
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
