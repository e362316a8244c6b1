"""How long until somebody in the line has their places: arithmetic on durations, no queue."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

# How much of each new duration goes into the mean that estimates are made from.
NEWEST_WEIGHT = 0.2
# An answer that has taken longer than the mean is thought to need this part of the mean still.
OVERDUE_PART = 0.25


class Durations:
    """The mean of the newest durations, in seconds; None before the first."""

    def __init__(self, mean: float | None = None) -> None:
        self.mean = mean

    def add(self, seconds: float) -> None:
        mean = seconds if self.mean is None else self.mean
        self.mean = mean + (seconds - mean) * NEWEST_WEIGHT


class Forecast:
    """When places get free, if every answer takes `mean` seconds.

    `spent` has the seconds that each place is taken already; `free` places are not.
    """

    def __init__(self, mean: float | None, spent: Iterable[float], free: int) -> None:
        self._mean = mean
        left = [max((mean or 0.0) - s, (mean or 0.0) * OVERDUE_PART) for s in spent]
        self._free_in = [0.0] * max(0, free) + left
        heapq.heapify(self._free_in)

    def next(self, places: int) -> float | None:
        """Seconds until the next in the line has so many places; call it in the line's order."""
        if self._mean is None or not self._free_in:
            return None
        taken = [heapq.heappop(self._free_in) for _ in range(min(places, len(self._free_in)))]
        for _ in taken:
            heapq.heappush(self._free_in, taken[-1] + self._mean)
        return taken[-1]
