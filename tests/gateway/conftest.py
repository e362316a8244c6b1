from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from appliance.engine.client import EngineClient
from appliance.engine.posting import http_client
from appliance.engine.remote import RemoteEngine
from appliance.gateway import redis_contact
from appliance.gateway.queue import FairQueue, Queue
from appliance.gateway.redis_contact import Contact, make_pool
from appliance.gateway.redis_queue import SharedQueue
from appliance.ledger.database import Database
from tests.clock import Clock
from tests.gateway.guests import Guests, Invite, MakeQueue
from tests.gateway.house import House
from tests.scripted_engine import KEY, ScriptedEngine, scripted_engine
from tests.servers import RedisServer, running_redis


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of the test's own, to be harmed."""
    with running_redis(tmp_path) as server:
        yield server


@pytest.fixture
async def contact(server: RedisServer, clock: Clock) -> AsyncIterator[Contact]:
    contact = Contact(make_pool(server.url), "alone", clock)
    yield contact
    await contact.close()


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


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may keep a good Redis waiting for longer than a user would."""
    for name in ("CONNECT_SECONDS", "ANSWER_SECONDS"):
        monkeypatch.setattr(redis_contact, name, 30.0)


class Fronts:
    """Queues of several fronts in this process: each is kept until it is closed."""

    def __init__(self) -> None:
        self._keeping: dict[Queue, asyncio.Task[None]] = {}

    def open(self, server: RedisServer, scope: str, **sizes: Any) -> Queue:
        """A further front; a `per_key` that is not given is the limit."""
        sizes.setdefault("per_key", sizes["limit"])
        queue = SharedQueue(make_pool(server.url), scope=scope, **sizes)
        self._keeping[queue] = asyncio.create_task(queue.keep())
        return queue

    async def close(self, queue: Queue) -> None:
        keeping = self._keeping.pop(queue)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)

    async def close_all(self) -> None:
        for queue in list(self._keeping):
            await self.close(queue)


@pytest.fixture
async def fronts(patience: None) -> AsyncIterator[Fronts]:
    fronts = Fronts()
    yield fronts
    await fronts.close_all()


@pytest.fixture(params=["of one process", "through Redis"])
def make_queue(request: pytest.FixtureRequest, redis: RedisServer, fronts: Fronts) -> MakeQueue:
    """Makes a queue from `slots`, `limit` and perhaps `per_key`."""
    if request.param == "of one process":
        return FairQueue
    return partial(fronts.open, redis, secrets.token_hex(4))


@pytest.fixture
async def invite(fronts: Fronts) -> AsyncIterator[Invite]:
    """Guests for a queue, who all go home after the test."""
    parties: list[Guests] = []

    def made(queue: Queue) -> Guests:
        parties.append(Guests(queue))
        return parties[-1]

    yield made
    for guests in parties:
        await guests.all_leave()
