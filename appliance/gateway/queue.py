"""Fair places at the engine: as many as it can serve at once, given round-robin by caller.

Plain objects and integers, no engine and no clock: a caller with fifty waiting requests delays
another caller's single one by one turn, not by fifty.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict, deque
from collections.abc import AsyncIterator

from appliance.errors import QueueFull


class FairQueue:
    """`slots` places, at most `limit` waiting. Belongs to one event loop."""

    def __init__(self, *, slots: int, limit: int) -> None:
        self._slots = slots
        self._limit = limit
        self._running = 0
        # Callers in the order of their next turn, each with its waiting requests, oldest first.
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @property
    def running(self) -> int:
        return self._running

    @property
    def waiting(self) -> int:
        return sum(len(turns) for turns in self._waiting.values())

    def resize(self, slots: int) -> None:
        """The engine changed; more places take effect at once, fewer as answers end."""
        self._slots = slots
        self._hand_out()

    @contextlib.asynccontextmanager
    async def place(self, name: str) -> AsyncIterator[None]:
        """Hold a place while inside. Raises QueueFull at once when too many already wait."""
        await self._take(name)
        try:
            yield
        finally:
            self._running -= 1
            self._hand_out()

    async def _take(self, name: str) -> None:
        if self._running < self._slots and not self._waiting:
            self._running += 1
            return
        if self.waiting >= self._limit:
            raise QueueFull(
                "%(waiting)s requests are already waiting. Please try again shortly.",
                retry_after=5,
                waiting=self.waiting,
            )
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            self._leave(name, turn)
            raise

    def _leave(self, name: str, turn: asyncio.Future[None]) -> None:
        """Give up waiting; a place that was handed over in the same moment goes to the next."""
        if turn.done() and not turn.cancelled():
            self._running -= 1
            self._hand_out()
        elif (turns := self._waiting.get(name)) and turn in turns:
            turns.remove(turn)
            if not turns:
                del self._waiting[name]

    def _hand_out(self) -> None:
        while self._running < self._slots and self._waiting:
            name, turns = next(iter(self._waiting.items()))
            turn = turns.popleft()
            del self._waiting[name]
            if turns:
                self._waiting[name] = turns
            if not turn.done():
                self._running += 1
                turn.set_result(None)
