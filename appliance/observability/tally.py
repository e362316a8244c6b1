"""Counters and histograms that cost nothing to make and little to feed.

The numbers alone: how they are written for Prometheus is `exposition`'s business, so that its
library is loaded by the first scrape and not by the start. Safe to share between threads.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock

# Whatever a client may invent, a family never has more lines than this many label sets give.
MAX_SERIES = 200
OTHER = "other"


@dataclass(slots=True)
class Counter:
    """Sums by label values."""

    name: str
    help: str
    labels: tuple[str, ...]
    _sums: dict[tuple[str, ...], float] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def add(self, *values: str, amount: float = 1) -> None:
        with self._lock:
            values = _bounded(values, self._sums)
            self._sums[values] = self._sums.get(values, 0) + amount

    def series(self) -> list[tuple[tuple[str, ...], float]]:
        with self._lock:
            return list(self._sums.items())


@dataclass(frozen=True, slots=True)
class Distribution:
    """`counts` are of the values up to each bound, above the one before; the last is the rest."""

    counts: tuple[int, ...]
    sum: float


@dataclass(slots=True)
class Histogram:
    """Values counted by bucket and by label values. `bounds` are upper and included."""

    name: str
    help: str
    labels: tuple[str, ...]
    bounds: tuple[float, ...]
    _series: dict[tuple[str, ...], tuple[list[int], list[float]]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def observe(self, value: float, *values: str) -> None:
        with self._lock:
            values = _bounded(values, self._series)
            if values not in self._series:
                self._series[values] = ([0] * (len(self.bounds) + 1), [0.0])
            counts, total = self._series[values]
            counts[bisect_left(self.bounds, value)] += 1
            total[0] += value

    def series(self) -> list[tuple[tuple[str, ...], Distribution]]:
        with self._lock:
            return [
                (values, Distribution(tuple(counts), total[0]))
                for values, (counts, total) in self._series.items()
            ]


def _bounded(values: tuple[str, ...], known: Mapping[tuple[str, ...], object]) -> tuple[str, ...]:
    if values in known or len(known) < MAX_SERIES:
        return values
    return (OTHER,) * len(values)
