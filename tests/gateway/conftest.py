from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from appliance.engine.client import EngineClient, http_client
from appliance.engine.remote import RemoteEngine
from appliance.ledger.database import Database
from tests.gateway.house import House
from tests.scripted_engine import KEY, ScriptedEngine, scripted_engine


@pytest.fixture(scope="module")
def script() -> Iterator[ScriptedEngine]:
    with scripted_engine() as running:
        yield running


@pytest.fixture
async def house(script: ScriptedEngine, tmp_path: Path) -> AsyncIterator[House]:
    database = Database(f"sqlite:///{(tmp_path / 'appliance.db').as_posix()}")
    database.migrate()
    async with http_client() as http:
        engine = RemoteEngine(
            url=script.url, key=KEY, model="auto", context_length=100, max_concurrency=1
        )
        await engine.start()
        async with asyncio.timeout(10):
            async for status in engine.changes():
                if status.phase == "ready":
                    break
        made = House(engine, EngineClient(http), database)
        yield made
        await engine.stop()
    made.writer.close()
    database.close()
