"""The worker's voice: one JSON event a line, on a pipe that no library can write to."""

from __future__ import annotations

import json
import os
import threading
import time
from typing import Any, BinaryIO

from appliance.engine.config import Stage

_SECONDS_BETWEEN_REPORTS = 0.2


class EventWriter:
    """Safe to use from any thread. A parent that no longer reads is not our error."""

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()
        self._last_stage: Stage | None = None
        self._last_report = 0.0

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
        now = time.monotonic()
        news = stage != self._last_stage or (total > 0 and done >= total)
        if news or now - self._last_report >= _SECONDS_BETWEEN_REPORTS:
            self._last_stage, self._last_report = stage, now
            self.emit("progress", stage=stage, done=done, total=total)


def claim_stdout() -> EventWriter:
    """Keep the real standard output for events; whatever libraries print goes to the log."""
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return EventWriter(pipe)
