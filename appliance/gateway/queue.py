"""Fair places at the engine: as many as it can serve at once, given in the order of `line`.

`Queue` is what everybody needs of them, `FairQueue` the queue of one process; that of several is
`redis_queue.SharedQueue`. Both know no engine, and their rules are those of one `Hall`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from appliance.gateway.hall import Bounds, Hall, Held, Place
from appliance.gateway.line import Turn


class Queue(Protocol):
    """Places at an engine. Belongs to one event loop.

    What is told of the line and of those inside may be some seconds old when others share them;
    `look` brings it up to date.
    """

    @property
    def bounds(self) -> Bounds: ...

    @property
    def slots(self) -> int:
        """All places, taken or free."""
        ...

    @property
    def running(self) -> int:
        """Places taken."""
        ...

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        ...

    @property
    def held(self) -> list[Held]:
        """The answers that hold places, oldest first."""
        ...

    def now(self) -> float:
        """The queue's clock, in seconds."""
        ...

    def place(
        self, name: str, *, ticket: str = "", interactive: bool = False, places: int = 1
    ) -> AbstractAsyncContextManager[int]:
        """Hold places while inside: as many as asked for, at most all that there are. Gives how
        many were waiting when it came.

        Raises QueueFull when too many already wait, RateLimited when too many of `name` do.
        Cancelling it, while it waits or inside, gives everything to the next.
        """
        ...

    def place_of(self, ticket: str, name: str) -> Place | None:
        """Where this caller's request stands that waits with this ticket; None: none does."""
        ...

    def line(self) -> Iterator[tuple[Turn, Place]]:
        """Everybody who waits, in the order of their turns, with the estimate for each."""
        ...

    def resize(self, slots: int) -> None:
        """The engine changed; more places take effect at once, fewer as answers end."""
        ...

    async def look(self) -> None:
        """What is told from now on is as it is now."""
        ...

    async def keep(self) -> None:
        """Runs as long as the queue is used, where it needs that; somebody must cancel it."""
        ...


class FairQueue:
    """`slots` places; at most `limit` requests wait, `per_key` of each caller. Fulfils `Queue`.

    `clock` counts seconds.
    """

    def __init__(
        self,
        *,
        slots: int,
        limit: int,
        per_key: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.bounds = Bounds(limit, limit if per_key is None else per_key)
        self.now = clock
        self._hall = Hall(slots)
        self._doors: dict[Turn, asyncio.Future[None]] = {}

    @property
    def slots(self) -> int:
        return self._hall.slots

    @property
    def running(self) -> int:
        return self._hall.running

    @property
    def waiting(self) -> int:
        return len(self._hall.line)

    @property
    def held(self) -> list[Held]:
        return self._hall.held

    def resize(self, slots: int) -> None:
        self._hall.slots = slots
        self._hand_out()

    @contextlib.asynccontextmanager
    async def place(
        self, name: str, *, ticket: str = "", interactive: bool = False, places: int = 1
    ) -> AsyncIterator[int]:
        turn = Turn(name=name, ticket=ticket, interactive=interactive, places=places)
        if not self._hall.enter(turn, self.now(), self.bounds):
            self._doors[turn] = asyncio.get_running_loop().create_future()
        try:
            if door := self._doors.get(turn):
                await door
            yield turn.ahead
        finally:
            self._leave(turn)

    def place_of(self, ticket: str, name: str) -> Place | None:
        return self._hall.place_of(ticket, name, self.now())

    def line(self) -> Iterator[tuple[Turn, Place]]:
        return self._hall.places(self.now())

    async def look(self) -> None:
        """There is nothing that it does not know."""

    async def keep(self) -> None:
        """It needs no keeping."""

    def _leave(self, turn: Turn) -> None:
        """Whether it waited, was just handed its places, or held them: they go to the next."""
        self._doors.pop(turn, None)
        self._hall.leave(turn, self.now())
        self._hand_out()

    def _hand_out(self) -> None:
        while turn := self._hall.next():
            self._hall.take(turn, self.now())
            door = self._doors.pop(turn)
            if not door.done():  # else its owner has been cancelled and will notice in a moment
                door.set_result(None)
