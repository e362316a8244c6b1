"""Fair places at the engine: as many as it can serve at once, given in the order of `line`.

Knows no engine. Keeps how long answers have held their places, and so can say about when whoever
waits will have one.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

from appliance.errors import QueueFull, RateLimited
from appliance.gateway.estimate import Durations, Forecast
from appliance.gateway.line import Line, Turn

RETRY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where somebody stands: 1 is next. `seconds` until their turn, about; None: not known."""

    position: int
    seconds: float | None


@dataclass(eq=False, slots=True)
class Held:
    """Places taken by one answer. `since` is the queue's clock, in seconds."""

    turn: Turn
    places: int
    since: float


class FairQueue:
    """`slots` places; at most `limit` requests wait, `per_key` of each caller.

    Belongs to one event loop. `clock` counts seconds.
    """

    def __init__(
        self,
        *,
        slots: int,
        limit: int,
        per_key: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.slots = slots
        self.limit = limit
        self.per_key = limit if per_key is None else per_key
        self._clock = clock
        self._line = Line()
        self._doors: dict[Turn, asyncio.Future[Held]] = {}
        self._held: set[Held] = set()
        self._held_by = Counter[str]()
        self._running = 0
        self._durations = Durations()

    @property
    def running(self) -> int:
        """Places taken."""
        return self._running

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return len(self._line)

    @property
    def held(self) -> list[Held]:
        """The answers that hold places, oldest first."""
        return sorted(self._held, key=lambda held: held.since)

    def now(self) -> float:
        return self._clock()

    def resize(self, slots: int) -> None:
        """The engine changed; more places take effect at once, fewer as answers end."""
        self.slots = slots
        self._hand_out()

    @contextlib.asynccontextmanager
    async def place(
        self, name: str, *, ticket: str = "", interactive: bool = False, places: int = 1
    ) -> AsyncIterator[None]:
        """Hold places while inside: as many as asked for, at most all that there are.

        Raises QueueFull when too many already wait, RateLimited when too many of `name` do.
        """
        alone = not self._held_by[name] and not self._line.waiting_of(name)
        turn = Turn(name=name, ticket=ticket, interactive=interactive, places=places, alone=alone)
        held = await self._take(turn)
        try:
            yield
        finally:
            self._give_back(held)

    def place_of(self, ticket: str, name: str) -> Place | None:
        """Where this caller's request stands that waits with this ticket; None: none does."""
        if not self._line.waiting_of(name):
            return None
        wanted = (ticket, name)
        return next((place for t, place in self.line() if (t.ticket, t.name) == wanted), None)

    def line(self) -> Iterator[tuple[Turn, Place]]:
        """Everybody who waits, in the order of their turns, with the estimate for each."""
        now = self._clock()
        spent = [now - held.since for held in self._held for _ in range(held.places)]
        forecast = Forecast(self._durations.mean, spent, self.slots - self._running)
        for position, turn in enumerate(self._line.in_order(), 1):
            yield turn, Place(position, forecast.next(turn.places))

    async def _take(self, turn: Turn) -> Held:
        if not len(self._line) and self._fits(turn):
            self._line.took(turn)
            return self._hold(turn)
        self._check_room(turn.name)
        door: asyncio.Future[Held] = asyncio.get_running_loop().create_future()
        turn.since = self._clock()
        self._line.join(turn)
        self._doors[turn] = door
        try:
            return await door
        except asyncio.CancelledError:
            self._give_up(turn, door)
            raise

    def _check_room(self, name: str) -> None:
        wait = max(RETRY_SECONDS, (self._durations.mean or 0.0) / self.slots)
        if self.waiting >= self.limit:
            raise QueueFull(
                "%(waiting)s requests are already waiting. Please try again shortly.",
                retry_after=wait,
                waiting=self.waiting,
            )
        if (own := self._line.waiting_of(name)) >= self.per_key:
            raise RateLimited(
                "%(own)s requests of %(name)s are already waiting, which is the most. Please wait "
                "for some of them.",
                retry_after=wait,
                own=own,
                name=name,
            )

    def _give_up(self, turn: Turn, door: asyncio.Future[Held]) -> None:
        """Stop waiting; places that were handed over in the same moment go to the next."""
        if door.done() and not door.cancelled():
            self._give_back(door.result())
        elif self._doors.pop(turn, None):
            self._line.leave(turn)
            self._hand_out()

    def _fits(self, turn: Turn) -> bool:
        return self._running + min(turn.places, self.slots) <= self.slots

    def _hold(self, turn: Turn) -> Held:
        held = Held(turn, min(turn.places, self.slots), self._clock())
        self._held.add(held)
        self._held_by[turn.name] += 1
        self._running += held.places
        return held

    def _give_back(self, held: Held) -> None:
        self._held.remove(held)
        self._held_by[held.turn.name] -= 1
        self._running -= held.places
        self._durations.add(self._clock() - held.since)
        self._hand_out()

    def _hand_out(self) -> None:
        """Give turns while they fit. Nobody passes whoever is next and needs more places: a wish
        for many would else never have its turn."""
        while (turn := self._line.next()) and self._fits(turn):
            door = self._doors.pop(turn)
            if door.cancelled():  # its owner has not noticed yet
                self._line.leave(turn)
                continue
            self._line.take(turn)
            door.set_result(self._hold(turn))
