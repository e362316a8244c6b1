"""A supervisor over scripted processes, and a client before a scripted server."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from appliance.engine import lives
from appliance.engine.client import EngineClient
from appliance.engine.posting import http_client
from appliance.engine.supervisor import Supervisor
from tests.engine.supervised import PRELUDE, Choices, Make
from tests.scripted_engine import ScriptedEngine, scripted_engine


@pytest.fixture
async def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Make]:
    """Supervisors, stopped at the end of the test."""
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


@pytest.fixture(scope="module")
def engine() -> Iterator[ScriptedEngine]:
    with scripted_engine() as running:
        yield running


@pytest.fixture
async def client() -> AsyncIterator[EngineClient]:
    async with http_client() as http:
        yield EngineClient(http)
