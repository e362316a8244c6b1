"""Two whole appliances before one engine with one Redis: one queue, and one count of limits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx2
import pytest

from tests.scripted_app import ScriptedAppliance, scripted_appliance
from tests.scripted_engine import KEY, ScriptedEngine, scripted_engine
from tests.servers import RedisServer
from tests.waiting import until

pytestmark = pytest.mark.anyio

PLACES = 3
Two = tuple[ScriptedAppliance, ScriptedAppliance]


@pytest.fixture(scope="module")
def engine() -> Iterator[ScriptedEngine]:
    with scripted_engine() as running:
        yield running


@pytest.fixture(scope="module")
def two(
    redis: RedisServer, engine: ScriptedEngine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Two]:
    folder = tmp_path_factory.mktemp("two")
    flags: dict[str, Any] = {
        "engine_url": engine.url,
        "engine_key": KEY,
        "redis_url": redis.url,
        "database_url": f"sqlite:///{folder / 'shared.db'}",
        "max_concurrency": PLACES,
        "cache_minutes": 0,
    }
    with (
        scripted_appliance(folder / "a", **flags) as one,
        scripted_appliance(folder / "b", **flags) as other,
    ):
        yield one, other


async def test_together_they_never_run_more_than_the_engine_has_places(
    two: Two, engine: ScriptedEngine
) -> None:
    async with httpx2.AsyncClient(timeout=60) as client:
        waiting = [
            client.post(f"{two[number % 2].url}/generate", json={"prompt": "wait"})
            for number in range(4 * PLACES)
        ]
        answers = asyncio.gather(*waiting)
        await until(lambda: engine.running == PLACES)
        while (queue := await queue_at(client, two[0]))["taken"] + len(queue["waiting"]) < 12:
            pass
        assert queue["slots"] == queue["taken"] == PLACES
        seen = {one["request_id"] for one in [*queue["running"], *queue["waiting"]]}
        other = await queue_at(client, two[1])
        assert {one["request_id"] for one in [*other["running"], *other["waiting"]]} == seen
        metrics = (await client.get(f"{two[1].url}/metrics")).text
        assert f"\nappliance_queue_waiting {4 * PLACES - PLACES}" in metrics
        engine.release.set()
        assert {answer.status_code for answer in await answers} == {200}
    assert engine.most_running == PLACES


async def queue_at(client: httpx2.AsyncClient, appliance: ScriptedAppliance) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(f"{appliance.url}/admin/queue")).json()
    return found


async def test_a_key_has_so_many_requests_at_once_at_both_together(
    two: Two, engine: ScriptedEngine
) -> None:
    # In a thread that knows of no event loop, for it runs one of its own.
    make = partial(two[0].key, "single", parallel=1)
    secret = await asyncio.get_running_loop().run_in_executor(None, make)
    headers = {"authorization": f"Bearer {secret}"}
    engine.release.clear()
    engine.started.clear()
    async with httpx2.AsyncClient(timeout=60, headers=headers) as client:
        first = asyncio.ensure_future(
            client.post(f"{two[0].url}/generate", json={"prompt": "wait"})
        )
        await until(engine.started.is_set)
        refused = await client.post(f"{two[1].url}/generate", json={"prompt": "text"})
        assert refused.status_code == 429
        engine.release.set()
        assert (await first).status_code == 200
        for number in range(10):
            again = await client.post(f"{two[number % 2].url}/generate", json={"prompt": "text"})
            assert again.status_code == 200
