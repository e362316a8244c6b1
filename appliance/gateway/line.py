"""Whose turn is next: plain objects and integers, no clock, no event loop, no engine.

Turns go round by caller: the one whose last turn is longest ago is next, so somebody who comes
with a single wish never waits for the fifty of another. Within that, a person at a page goes before
programs, and so that programs do not wait for ever, only so many times in a row.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

# After so many turns of pages in a row, while programs wait, a program has its turn.
PAGES_IN_A_ROW = 3
# Whoever was forgotten counts as never seen, and goes before all that are remembered: rightly.
CALLERS_REMEMBERED = 256


@dataclass(eq=False, slots=True, kw_only=True)
class Turn:
    """One wish in the line. `places` is how many it takes at once, a choice each.

    `alone` is true when its caller has nothing else here, waiting or running. `ahead` is how many
    were waiting when it came; `number` counts arrivals. `ticket` is what its owner knows it by;
    `since` is the queue's clock, in seconds. Where several fronts share a line, `front` is the one
    that it came to, and `id` its name in all of them.
    """

    name: str
    ticket: str = ""
    interactive: bool = False
    places: int = 1
    alone: bool = False
    ahead: int = 0
    number: int = 0
    since: float = 0.0
    id: str = ""
    front: str = ""


@dataclass(slots=True, kw_only=True)
class Past:
    """What is remembered of the turns that have been. `last_turn` is by caller, oldest first."""

    last_turn: dict[str, int] = field(default_factory=dict)
    turns: int = 0
    arrivals: int = 0
    pages_in_a_row: int = 0

    def took(self, name: str) -> None:
        self.turns += 1
        self.last_turn.pop(name, None)
        self.last_turn[name] = self.turns
        if len(self.last_turn) > CALLERS_REMEMBERED:
            del self.last_turn[next(iter(self.last_turn))]


@dataclass(slots=True)
class _Caller:
    """One caller's waiting turns, each kind oldest first."""

    pages: deque[Turn] = field(default_factory=deque)
    programs: deque[Turn] = field(default_factory=deque)

    def of(self, turn: Turn) -> deque[Turn]:
        return self.pages if turn.interactive else self.programs

    @property
    def head(self) -> Turn:
        return self.pages[0] if self.pages else self.programs[0]

    def __len__(self) -> int:
        return len(self.pages) + len(self.programs)


class Line:
    """Who waits, and who is next. Only `took` and `take` move the round on."""

    def __init__(self, past: Past | None = None, waiting: Iterable[Turn] = ()) -> None:
        """`waiting` as another line had them: each caller's in the order of their arrival."""
        self.past = past or Past()
        self._callers: dict[str, _Caller] = {}
        self._programs_waiting = 0
        self._waiting = 0
        for turn in waiting:
            self._append(turn)

    def __len__(self) -> int:
        return self._waiting

    def __iter__(self) -> Iterator[Turn]:
        """All that wait, by caller and kind."""
        for caller in self._callers.values():
            yield from caller.pages
            yield from caller.programs

    def waiting_of(self, name: str) -> int:
        return len(self._callers.get(name, ()))

    def join(self, turn: Turn) -> None:
        """Wait behind the caller's own turns of the same kind."""
        self.past.arrivals += 1
        turn.number = self.past.arrivals
        self._append(turn)

    def leave(self, turn: Turn) -> None:
        """Stop waiting; raises ValueError or KeyError for one that does not wait."""
        caller = self._callers[turn.name]
        caller.of(turn).remove(turn)
        if not len(caller):
            del self._callers[turn.name]
        self._count(turn, -1)

    def next(self) -> Turn | None:
        """The turn that is given next; it stays in the line."""
        if not self._callers:
            return None
        callers = self._callers.values()
        if self.past.pages_in_a_row >= PAGES_IN_A_ROW and self._programs_waiting:
            heads = [caller.programs[0] for caller in callers if caller.programs]
        else:
            heads = [caller.head for caller in callers]
        return min(heads, key=self._rank)

    def take(self, turn: Turn) -> None:
        """Give `turn` its turn: it leaves the line, and its caller goes to the end of the round."""
        self.leave(turn)
        self.took(turn)

    def took(self, turn: Turn) -> None:
        """The same for a turn that had not to wait."""
        self.past.took(turn.name)
        overtook = turn.interactive and self._programs_waiting
        self.past.pages_in_a_row = self.past.pages_in_a_row + 1 if overtook else 0

    def in_order(self) -> Iterator[Turn]:
        """All that wait, in the order of their turns if nobody else comes."""
        last_turn = dict(self.past.last_turn)
        copy = Line(replace(self.past, last_turn=last_turn), self)
        while turn := copy.next():
            copy.take(turn)
            yield turn

    def _rank(self, turn: Turn) -> tuple[bool, int, int]:
        """The smallest is next. Only a page's single wish goes before other callers' programs:
        whoever has more under way would delay them by more than one turn."""
        person = turn.interactive and turn.alone
        return not person, self.past.last_turn.get(turn.name, 0), turn.number

    def _append(self, turn: Turn) -> None:
        self._callers.setdefault(turn.name, _Caller()).of(turn).append(turn)
        self._count(turn, 1)

    def _count(self, turn: Turn, step: int) -> None:
        self._waiting += step
        if not turn.interactive:
            self._programs_waiting += step
