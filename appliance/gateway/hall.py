"""The places at the engine and the line before them: plain objects, no clock, no event loop.

`line` says whose turn is next; here is whether it fits, who may wait at all, and who is inside.
Whoever uses a hall counts the seconds, and tells those whose turn has come.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
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


@dataclass(frozen=True, slots=True)
class Bounds:
    """At most `limit` requests wait, `per_key` of each caller."""

    limit: int
    per_key: int


class Hall:
    """`slots` places, those who hold them, and those who wait for them."""

    def __init__(
        self,
        slots: int,
        *,
        line: Line | None = None,
        mean: float | None = None,
        held: Iterable[Held] = (),
    ) -> None:
        """`mean` is how long answers have held their places, in seconds."""
        self.slots = slots
        self.line = Line() if line is None else line
        self.durations = Durations(mean)
        self.running = 0
        self._held: dict[Turn, Held] = {}
        self._held_by = Counter[str]()
        for one in held:
            self.admit(one)

    @property
    def held(self) -> list[Held]:
        """The answers that hold places, oldest first."""
        return sorted(self._held.values(), key=lambda held: held.since)

    @property
    def turns(self) -> list[Turn]:
        """Everybody, inside or waiting."""
        return [*self._held, *self.line]

    def holds(self, turn: Turn) -> Held | None:
        return self._held.get(turn)

    def enter(self, turn: Turn, now: float, bounds: Bounds) -> Held | None:
        """Take places when nobody waits and they are free, else wait in the line: None.

        Raises QueueFull when too many already wait, RateLimited when too many of its caller do.
        """
        turn.alone = not self._held_by[turn.name] and not self.line.waiting_of(turn.name)
        turn.since, turn.ahead = now, len(self.line)
        if not len(self.line) and self._fits(turn):
            self.line.took(turn)
            return self._hold(turn, now)
        self._check_room(turn.name, bounds)
        self.line.join(turn)
        return None

    def leave(self, turn: Turn, now: float | None = None) -> None:
        """Give the places back, or stop waiting. `now` is None when its end was not seen."""
        if held := self._held.pop(turn, None):
            self._held_by[turn.name] -= 1
            self.running -= held.places
            if now is not None:
                self.durations.add(now - held.since)
        else:
            self.line.leave(turn)

    def next(self) -> Turn | None:
        """Whose turn has come; None while the next does not fit. Nobody passes whoever is next and
        needs more places: a wish for many would else never have its turn."""
        turn = self.line.next()
        return turn if turn and self._fits(turn) else None

    def take(self, turn: Turn, now: float) -> Held:
        """Give the places to one that waits."""
        self.line.take(turn)
        return self._hold(turn, now)

    def admit(self, held: Held) -> None:
        """Count an answer that is under way, whether it fits or not."""
        self._held[held.turn] = held
        self._held_by[held.turn.name] += 1
        self.running += held.places

    def place_of(self, ticket: str, name: str, now: float) -> Place | None:
        """Where this caller's request stands that waits with this ticket; None: none does."""
        if not self.line.waiting_of(name):
            return None
        wanted = (ticket, name)
        return next((place for t, place in self.places(now) if (t.ticket, t.name) == wanted), None)

    def places(self, now: float) -> Iterator[tuple[Turn, Place]]:
        """Everybody who waits, in the order of their turns, with the estimate for each."""
        spent = [now - held.since for held in self._held.values() for _ in range(held.places)]
        forecast = Forecast(self.durations.mean, spent, self.slots - self.running)
        for position, turn in enumerate(self.line.in_order(), 1):
            yield turn, Place(position, forecast.next(turn.places))

    def _hold(self, turn: Turn, now: float) -> Held:
        held = Held(turn, min(turn.places, self.slots), now)
        self.admit(held)
        return held

    def _fits(self, turn: Turn) -> bool:
        return self.running + min(turn.places, self.slots) <= self.slots

    def _check_room(self, name: str, bounds: Bounds) -> None:
        wait = max(RETRY_SECONDS, (self.durations.mean or 0.0) / self.slots)
        if len(self.line) >= bounds.limit:
            raise QueueFull(
                "%(waiting)s requests are already waiting. Please try again shortly.",
                retry_after=wait,
                waiting=len(self.line),
            )
        if (own := self.line.waiting_of(name)) >= bounds.per_key:
            raise RateLimited(
                "%(own)s requests of %(name)s are already waiting, which is the most. Please wait "
                "for some of them.",
                retry_after=wait,
                own=own,
                name=name,
            )
