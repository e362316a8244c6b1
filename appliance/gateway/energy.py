"""What each answer has cost in energy: the card's own counter, shared by whoever ran meanwhile.

The counter is read by a thread, ten times a second and only while something runs; in between, the
last known power is assumed and corrected at the next reading. Knows no engine and no ledger.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

READ_EVERY_SECONDS = 0.1
ReadJoules = Callable[[], float | None]
Listener = Callable[[float, float], None]


class Meter(Protocol):
    """Measures shares."""

    def begin(self) -> float:
        """Somebody begins to run. Returns the mark that `end` wants."""
        ...

    def end(self, mark: float) -> float | None:
        """Its share in joules; None where the driver does not tell, or has not yet."""
        ...


class EnergyMeter:
    """Shares of what `read` counts, in joules; `read` may take milliseconds. One event loop's."""

    def __init__(
        self,
        read: ReadJoules | None = None,
        *,
        every: float = READ_EVERY_SECONDS,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._read = read
        self._every = every
        self._clock = clock
        self._running = 0
        self._each = 0.0
        self._watts: float | None = None
        self._assumed = 0.0
        self._settled_at = 0.0
        self._last: tuple[float, float] | None = None
        self._reading: asyncio.Task[None] | None = None
        self.listeners: set[Listener] = set()
        """Told after each reading, and when nobody runs any more: the joules that one who has
        always run would have by now, and the watts that each has from here on."""

    def begin(self) -> float:
        self._settle()
        self._running += 1
        if self._read is not None and (self._reading is None or self._reading.done()):
            self._reading = asyncio.create_task(self._keep_reading(self._read))
        return self._each

    def end(self, mark: float) -> float | None:
        self._settle()
        self._running -= 1
        if not self._running:
            self._tell()
        return None if self._watts is None else max(0.0, self._each - mark)

    def take(self, joules: float) -> None:
        """A reading of the counter; it puts right what was assumed since the last one."""
        self._settle()
        now = self._clock()
        if self._last is not None and now > self._last[0]:
            used = joules - self._last[1]
            if self._running:
                self._each += (used - self._assumed) / self._running
            self._watts = used / (now - self._last[0])
        self._last, self._assumed = (now, joules), 0.0
        self._tell()

    def _tell(self) -> None:
        if self._watts is not None:
            watts = self._watts / self._running if self._running else 0.0
            for listener in self.listeners:
                listener(self._each, watts)

    def _settle(self) -> None:
        """What has been used since the last look, as far as one knows, for each who ran."""
        now = self._clock()
        if self._running and self._watts is not None:
            used = self._watts * (now - self._settled_at)
            self._assumed += used
            self._each += used / self._running
        self._settled_at = now

    async def _keep_reading(self, read: ReadJoules) -> None:
        self._last = None  # what was used while nothing ran is nobody's
        while self._running:
            joules = await asyncio.to_thread(read)
            if joules is None:
                self._read = self._watts = None
                return
            self.take(joules)
            await asyncio.sleep(self._every)


def card_counter(uuid: str) -> ReadJoules:
    """Reads the energy counter of one NVIDIA card, in joules; None when it has none."""

    def read() -> float | None:
        with suppress(Exception):  # an old card, a driver that is ill, or none
            import pynvml

            pynvml.nvmlInit()  # counted by the library; only the first one does anything
            card = pynvml.nvmlDeviceGetHandleByUUID(uuid)
            return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(card)) / 1000
        return None

    return read
