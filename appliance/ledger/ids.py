"""Our ids: ULIDs, which sort by the time they were made.

Within one process every id is greater than the one before it, whichever thread asks and even
when the clock steps back, so "rows before this id" is a stable place to turn a page.
"""

from __future__ import annotations

import time
from threading import Lock

from ulid import ULIDGenerator

_NANOSECONDS_IN_MILLISECOND = 1_000_000


class IdSource:
    """Makes ULIDs as 26-character strings, each greater than the last. Safe to share."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._latest_ms = 0
        self._generator = ULIDGenerator(clock=self._clock_that_never_steps_back)

    def _clock_that_never_steps_back(self) -> int:
        now_ms = time.time_ns() // _NANOSECONDS_IN_MILLISECOND
        self._latest_ms = max(self._latest_ms, now_ms)
        return self._latest_ms

    def __call__(self) -> str:
        # The generator reads its clock outside its own lock; two threads could otherwise
        # swap places between reading the time and using it.
        with self._lock:
            return str(self._generator.generate())


new_id = IdSource()
