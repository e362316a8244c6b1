"""What the parent hears of a load: stages, bytes, speed and the time that is left."""

from __future__ import annotations

import io
import json
from typing import Any

from appliance.engine.worker.events import EventWriter


class Told:
    """An `EventWriter` with a clock of its own, and what it has written."""

    def __init__(self) -> None:
        self.now = 100.0
        self.pipe = io.BytesIO()
        self.writer = EventWriter(self.pipe, clock=lambda: self.now)

    def progress(self, at: float, stage: Any, done: int, total: int) -> None:
        self.now = 100.0 + at
        self.writer.progress(stage, done, total)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.pipe.getvalue().splitlines()]


def test_a_download_tells_its_speed_and_the_time_left() -> None:
    told = Told()
    told.progress(0, "download", 1_000, 10_000)
    told.progress(2, "download", 3_000, 10_000)
    told.progress(3, "download", 10_000, 10_000)
    assert [(e["done"], e["speed"], e["seconds_left"]) for e in told.events] == [
        (1_000, None, None),
        (3_000, 1_000, 7),
        (10_000, 3_000, 0),
    ]


def test_each_stage_has_a_speed_of_its_own() -> None:
    told = Told()
    told.progress(0, "download", 0, 100)
    told.progress(1, "download", 100, 100)
    told.progress(2, "verify", 50, 100)
    told.progress(3, "load", 0, 0)
    assert [(e["stage"], e["speed"]) for e in told.events[2:]] == [("verify", None), ("load", None)]


def test_a_download_that_stands_still_has_no_time_left_to_tell() -> None:
    told = Told()
    for second in range(8):
        told.progress(second, "download", 500, 1_000)
    assert told.events[-1]["speed"] == 0
    assert told.events[-1]["seconds_left"] is None


def test_not_every_piece_is_an_event() -> None:
    told = Told()
    for step in range(100):
        told.progress(step / 1_000, "download", step, 1_000)
    assert len(told.events) == 1
