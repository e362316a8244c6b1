"""Time that passes when a test says so."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Clock:
    """Reads `now`, in seconds since whenever a test likes."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now
