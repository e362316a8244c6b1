"""The worker's voice: one JSON event a line, on a pipe that no library can write to."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, BinaryIO

from appliance.engine.config import Stage

_SECONDS_BETWEEN_REPORTS = 0.2
# Speed is that of the last seconds: a pause shows soon, and a hiccup does not.
_SPEED_WINDOW_SECONDS = 5.0
_BYTES_STAGES = ("download", "verify")


class Speedometer:
    """How fast a number grows. `clock` counts seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque()

    def reset(self) -> None:
        self._seen.clear()

    def speed(self, done: int) -> int | None:
        """Units a second, now that there are `done`; None until there is something to compare.

        What was there at the first call is not counted: a resumed download did not arrive now.
        """
        now = self._clock()
        if self._seen and done < self._seen[-1][1]:
            self._seen.clear()
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[1][0] >= _SPEED_WINDOW_SECONDS:
            self._seen.popleft()
        since, before = self._seen[0]
        return round((done - before) / (now - since)) if now > since else None


class EventWriter:
    """Safe to use from any thread. A parent that no longer reads is not our error."""

    def __init__(self, pipe: BinaryIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._pipe = pipe
        self._clock = clock
        self._lock = threading.Lock()
        self._last_stage: Stage | None = None
        self._last_report = 0.0
        self._speedometer = Speedometer(clock)

    def emit(self, event: str, **values: Any) -> None:
        line = json.dumps({"event": event, **values}).encode() + b"\n"
        with self._lock:
            try:
                self._pipe.write(line)
                self._pipe.flush()
            except OSError:
                return

    def progress(self, stage: Stage, done: int, total: int) -> None:
        """Tell a new stage and its end at once, and what lies between a few times a second."""
        now = self._clock()
        news = stage != self._last_stage or (total > 0 and done >= total)
        if news or now - self._last_report >= _SECONDS_BETWEEN_REPORTS:
            if stage != self._last_stage:
                self._speedometer.reset()
            self._last_stage, self._last_report = stage, now
            speed = self._speedometer.speed(done) if stage in _BYTES_STAGES else None
            left = -(-(total - done) // speed) if speed and total >= done else None
            self.emit(
                "progress", stage=stage, done=done, total=total, speed=speed, seconds_left=left
            )


def claim_stdout() -> EventWriter:
    """Keep the real standard output for events; whatever libraries print goes to the log."""
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return EventWriter(pipe)
