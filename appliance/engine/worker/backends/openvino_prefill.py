"""How prompts are read beside running answers: whose turn it is, and how much of it a step reads.

Policy over plain objects and numbers: it knows no library, no thread and no clock. A long prompt
is read in pieces, each of which is a request of its own for the library; its prefix cache makes
every piece cost only what is new in it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from appliance.engine.worker.prefix_index import PrefixIndex

Owner = TypeVar("Owner")


@dataclass(eq=False, slots=True)
class Prefill(Generic[Owner]):
    """A prompt that waits to be read. `computed` counts the tokens that were read for it."""

    owner: Owner
    length: int
    chain: Sequence[int]
    computed: int = 0
    # Its pieces do not stay in the cache: it is read by the library alone, in one go.
    direct: bool = False


class Turn(NamedTuple, Generic[Owner]):
    """Read `prefill` from token `start` (in the cache before) to `end`."""

    prefill: Prefill[Owner]
    start: int
    end: int

    @property
    def whole(self) -> bool:
        """After this turn the answer begins."""
        return self.end == self.prefill.length

    @property
    def tokens(self) -> int:
        return self.end - self.start


class PrefillLane(Generic[Owner]):
    """Prompts in the order of their turns: short ones pass long ones, none waits for ever."""

    def __init__(self, index: PrefixIndex, block_tokens: int) -> None:
        self._index = index
        self._block = block_tokens
        self._waiting: deque[Prefill[Owner]] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def owners(self) -> Iterator[Owner]:
        return (prefill.owner for prefill in self._waiting)

    def add(self, prefill: Prefill[Owner]) -> None:
        self._waiting.append(prefill)

    def add_first(self, prefill: Prefill[Owner]) -> None:
        """Before those who wait already."""
        self._waiting.appendleft(prefill)

    def remove(self, owner: Owner) -> None:
        """Harmless when it is not waiting."""
        self._waiting = deque(each for each in self._waiting if each.owner is not owner)

    def turns(self, budget: int, may_begin: Callable[[Owner], bool]) -> list[Turn[Owner]]:
        """What the next step reads: whole prompts as far as `budget` tokens go, then a piece.

        Whole ones leave the lane; who got a piece waits behind the others. A prompt that may not
        begin yet keeps its place.
        """
        turns: list[Turn[Owner]] = []
        for prefill in list(self._waiting):
            start = min(self._index.known(prefill.chain), prefill.length - 1)
            end = self._end(prefill, start, budget, first=not turns)
            if end <= start:
                break
            if end == prefill.length and not may_begin(prefill.owner):
                continue
            self._waiting.remove(prefill)
            turns.append(Turn(prefill, start, end))
            budget -= end - start
            if end < prefill.length:
                self._waiting.append(prefill)
                break
            if prefill.direct:
                break
        return turns

    def _end(self, prefill: Prefill[Owner], start: int, budget: int, *, first: bool) -> int:
        """Not beyond `start` when there is no room for it in this step."""
        if prefill.direct:
            return prefill.length if first else start
        if first:
            budget = max(budget, self._block)
        if prefill.length - start <= budget:
            return prefill.length
        return start + budget - (start + budget) % self._block
