"""The first front's energy meter as a further front has it: told now and then, assumed between."""

from __future__ import annotations

import time
from collections.abc import Callable

from appliance.gateway.energy import READ_EVERY_SECONDS

# Two readings may have been missed; then nobody knows what the card does.
BELIEVED_SECONDS = 3 * READ_EVERY_SECONDS


class LentMeter:
    """A `Meter`. Who runs is counted where the engine is lent, so `begin` and `end` only look."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._told_at: float | None = None
        self._joules = self._watts = 0.0

    def hear(self, joules: float, watts: float) -> None:
        """What the first front's meter tells its listeners."""
        self._joules, self._watts, self._told_at = joules, watts, self._clock()

    def begin(self) -> float:
        return self._each()

    def end(self, mark: float) -> float | None:
        return None if self._told_at is None else max(0.0, self._each() - mark)

    def _each(self) -> float:
        if self._told_at is None:
            return 0.0
        since = min(self._clock() - self._told_at, BELIEVED_SECONDS)
        return self._joules + self._watts * since
