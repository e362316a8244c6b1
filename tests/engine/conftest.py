"""A supervisor over scripted processes, stopped at the end of each test."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.engine import lives
from appliance.engine.supervisor import Supervisor
from tests.engine.supervised import PRELUDE, Choices, Make


@pytest.fixture
async def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Make]:
    monkeypatch.setattr(lives, "FIRST_PAUSE_SECONDS", 0.01)
    made = []

    def start(script: str, *models: str, idle_seconds: float | None = None) -> Supervisor:
        choices = Choices((sys.executable, "-c", PRELUDE + script), *models or ("big",))
        log = tmp_path / "logs" / "engine.log"
        made.append(Supervisor(choices, log_path=log, idle_seconds=idle_seconds))
        return made[-1]

    yield start
    for one in made:
        await one.stop()
