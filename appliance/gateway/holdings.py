"""What callers hold while their requests are under way: the requests, and tokens for them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Holding:
    """So much of what is counted under `key`, by one request."""

    key: str
    amount: int = 1
    id: str = field(default_factory=lambda: secrets.token_hex(8))


class Holdings:
    """Those of one process. Belongs to one event loop."""

    def __init__(self) -> None:
        self._held: dict[str, dict[str, Holding]] = {}

    async def take(self, holding: Holding, most: int | None = None) -> int | None:
        """How much is held with it; None, and nothing is taken, when that were more than `most`."""
        total = self._total(holding.key) + holding.amount
        if most is not None and total > most:
            return None
        self._note(holding)
        return total

    async def total(self, key: str) -> int:
        return self._total(key)

    def give_back(self, holding: Holding) -> None:
        """At once, and never waiting. Safe for what was not taken."""
        held = self._held.get(holding.key, {})
        held.pop(holding.id, None)
        if not held:
            self._held.pop(holding.key, None)

    async def settled(self) -> None:
        """What was given back is so for everybody."""

    async def keep(self) -> None:
        """Runs as long as it is used, where it needs that; somebody must cancel it."""

    def _note(self, holding: Holding) -> None:
        self._held.setdefault(holding.key, {})[holding.id] = holding

    def _all(self) -> Iterator[Holding]:
        for held in self._held.values():
            yield from held.values()

    def _total(self, key: str) -> int:
        return sum(one.amount for one in self._held.get(key, {}).values())
