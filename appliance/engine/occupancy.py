"""Who uses the engine now, and since when nobody does. Knows no engine."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator


class Occupancy:
    """Counts answers under way. Belongs to one event loop."""

    def __init__(self) -> None:
        self._running = 0
        self._changed = asyncio.Event()
        self._last_used = 0.0

    @property
    def running(self) -> int:
        return self._running

    def touch(self) -> None:
        """Idleness counts from now on."""
        self._last_used = asyncio.get_running_loop().time()
        self._changed.set()
        self._changed = asyncio.Event()

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """In use while inside."""
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            self.touch()

    async def drained(self, seconds: float) -> bool:
        """Wait until nobody uses it, at most `seconds`; True when that came about."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._running:
                    await self._changed.wait()
        return not self._running

    async def idle_for(self, seconds: float) -> None:
        """Wait until nobody has used it for `seconds`."""
        loop = asyncio.get_running_loop()
        while self._running or (left := self._last_used + seconds - loop.time()) > 0:
            changed = self._changed
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if self._running else left):
                    await changed.wait()
