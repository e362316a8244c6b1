"""One hall of several fronts, as it is written down between them, and how a front attends to it.

A front knows its own guests, and the hall has to agree: what is missing there is put back, what is
too much is taken out, who is new comes in. Doing so twice changes nothing, so that a lost answer, a
lost hall and a front that was thought dead are all mended by attending again. Plain objects: no
clock, no event loop, no Redis.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from operator import attrgetter
from typing import Any

from appliance.errors import ApplianceError
from appliance.gateway.hall import Bounds, Hall, Held
from appliance.gateway.line import Line, Past, Turn

BEAT_SECONDS = 2.0
"""Each front attends at least so often."""
LEASE_SECONDS = 7.0
"""A front that was not seen for so long is dead, and what it held is free."""
NAMES = tuple(field.name for field in fields(Turn))
VALUES = attrgetter(*NAMES)


@dataclass(slots=True)
class Board:
    """What the fronts share: the hall, and when each of them was last `seen`."""

    hall: Hall
    seen: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Guest:
    """One wish at its own front: new, then `known` to the hall, then inside with what is `held`."""

    turn: Turn
    known: bool = False
    held: Held | None = None


@dataclass(slots=True)
class Visit:
    """What a front has found; nothing of it is true before the board is written down.

    By the guests' ids: who is known, who of them is inside, who is refused. `elsewhere` are the
    other fronts that have guests whose turn has come.
    """

    known: dict[str, Turn] = field(default_factory=dict)
    inside: dict[str, Held] = field(default_factory=dict)
    refused: dict[str, ApplianceError] = field(default_factory=dict)
    elsewhere: set[str] = field(default_factory=set)

    def tell(self, guests: Mapping[str, Guest]) -> None:
        """By their ids; who has left meanwhile is taken out by the next visit."""
        for guest_id, turn in self.known.items():
            if guest := guests.get(guest_id):
                guest.turn, guest.known = turn, True
                guest.held = guest.held or self.inside.get(guest_id)


def attend(
    board: Board, front: str, guests: Collection[Guest], now: float, bounds: Bounds
) -> Visit:
    """Make the board agree with the front's own guests, and hand out what is free."""
    hall, visit = board.hall, Visit()
    if abs(now - board.seen.get(front, -math.inf)) >= BEAT_SECONDS / 2:
        board.seen[front] = now
    _bury_the_dead(board, now)
    here = {turn.id: turn for turn in hall.turns if turn.front == front}
    wanted = {guest.turn.id for guest in guests}
    for guest_id, turn in here.items():
        if guest_id not in wanted:
            hall.leave(turn, now)
    for guest in guests:
        known = here.get(guest.turn.id)
        if known is None:
            _bring_in(hall, guest, now, bounds, visit)
            continue
        visit.known[known.id] = known
        if guest.held and not hall.holds(known):  # it could not wait for the others
            hall.line.leave(known)
            hall.admit(guest.held)
    visit.elsewhere = _hand_out(hall, now) - {front}
    # By whomever the places were given, now or before.
    for guest_id, turn in visit.known.items():
        if held := hall.holds(turn):
            visit.inside[guest_id] = held
    return visit


def leave(board: Board, front: str, now: float) -> Visit:
    """The front ends: nobody has to wait until it counts as dead."""
    board.seen.pop(front, None)
    _bury_the_dead(board, now)
    return Visit(elsewhere=_hand_out(board.hall, now))


def _bury_the_dead(board: Board, now: float) -> None:
    # Another Redis may have another clock, also one that is behind.
    board.seen = {front: at for front, at in board.seen.items() if abs(now - at) < LEASE_SECONDS}
    for turn in board.hall.turns:
        if turn.front not in board.seen:
            board.hall.leave(turn)


def _bring_in(hall: Hall, guest: Guest, now: float, bounds: Bounds, visit: Visit) -> None:
    """One that the hall does not know: it is new, or the hall was lost or took us for dead."""
    if guest.held:
        hall.admit(guest.held)
        return
    turn = replace(guest.turn)
    try:
        if guest.known:
            hall.line.join(turn)
        else:
            hall.enter(turn, now, bounds)
        visit.known[turn.id] = turn
    except ApplianceError as refusal:
        visit.refused[turn.id] = refusal


def _hand_out(hall: Hall, now: float) -> set[str]:
    """The fronts of those whose turn has come."""
    fronts = set()
    while turn := hall.next():
        hall.take(turn, now)
        fronts.add(turn.front)
    return fronts


def written(board: Board) -> str:
    """As JSON: what comes back from Redis must not be able to run anything."""
    hall = board.hall
    whole = {
        "slots": hall.slots,
        "mean": hall.durations.mean,
        "past": asdict(hall.line.past),
        "waiting": [VALUES(turn) for turn in hall.line],
        "held": [[VALUES(one.turn), one.places, one.since] for one in hall.held],
        "seen": board.seen,
    }
    return json.dumps(whole, separators=(",", ":"))


def read(text: bytes | str) -> Board:
    """Raises ValueError, TypeError, KeyError or AttributeError for what `written` has not made."""
    whole = json.loads(text)
    line = Line(Past(**whole["past"]), map(_turn, whole["waiting"]))
    held = [Held(_turn(values), int(places), since) for values, places, since in whole["held"]]
    hall = Hall(int(whole["slots"]), line=line, mean=whole["mean"], held=held)
    return Board(hall, dict(whole["seen"].items()))


def _turn(values: Sequence[Any]) -> Turn:
    return Turn(**dict(zip(NAMES, values, strict=True)))
