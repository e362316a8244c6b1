"""Whether the thread of a backend still gets anywhere."""

from __future__ import annotations

import time
from collections.abc import Callable


class Pulse:
    """Kept by the backend, which calls `beat` when work begins and after every step."""

    def __init__(self, busy: Callable[[], bool]) -> None:
        self._busy = busy
        self._last = time.monotonic()

    def beat(self) -> None:
        self._last = time.monotonic()

    @property
    def silent_seconds(self) -> float:
        """How long there has been work and no step was finished; from any thread."""
        return time.monotonic() - self._last if self._busy() else 0.0
