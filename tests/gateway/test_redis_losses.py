"""Fronts whose Redis is killed, empties or stands still: each goes on, and nothing is lost."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from appliance.gateway import redis_contact
from tests.gateway.conftest import Fronts
from tests.gateway.guests import Invite, settle
from tests.logs import said_by
from tests.servers import RedisServer

pytestmark = pytest.mark.anyio


class TwoFronts:
    """`anna-1` is inside, at one of two fronts, `ben-1` waits at the other."""

    def __init__(self, server: RedisServer, fronts: Fronts, invite: Invite) -> None:
        self.queues = [fronts.open(server, "both", slots=1, limit=9) for _ in range(2)]
        self.here, self.there = (invite(queue) for queue in self.queues)

    async def begin(self) -> None:
        await self.here.come("anna-1")
        await self.there.come("ben-1")
        assert (self.here.inside, self.there.inside) == (["anna-1"], [])

    async def all_known(self) -> list[tuple[int, int]]:
        """Running and waiting, as each front sees them."""
        await settle(*self.queues, *self.queues)
        return [(queue.running, queue.waiting) for queue in self.queues]


@pytest.fixture
async def both(
    server: RedisServer, fronts: Fronts, invite: Invite, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[TwoFronts]:
    monkeypatch.setattr(redis_contact, "AWAY_SECONDS", 0.0)
    two = TwoFronts(server, fronts, invite)
    await two.begin()
    yield two
    # Whoever is still there would wait for a dead server.
    for guests in (two.here, two.there):
        await guests.all_leave()


async def test_without_redis_each_front_goes_on_and_with_it_they_are_one_again(
    server: RedisServer, both: TwoFronts, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server.kill()
    assert await both.all_known() == [(1, 0), (1, 0)]
    assert both.there.inside == ["ben-1"]
    await both.there.come("ben-2")
    await both.here.come("anna-2")
    assert await both.all_known() == [(1, 1), (1, 1)]

    server.start()
    assert await both.all_known() == [(2, 2), (2, 2)]
    await both.here.go("anna-1")
    assert await both.all_known() == [(1, 2), (1, 2)]
    await both.there.go("ben-1")
    assert await both.all_known() == [(1, 1), (1, 1)]
    said = [
        (record.levelname, "queue of its own" in record.message)
        for record in said_by(redis_contact, caplog)
    ]
    assert said == [("WARNING", True)] * 2 + [("INFO", True)] * 2


async def test_a_redis_that_has_forgotten_everything_is_told_again(
    server: RedisServer, both: TwoFronts
) -> None:
    async with Redis(port=server.port) as client:
        await client.flushall()
    assert await both.all_known() == [(1, 1), (1, 1)]
    await both.here.go("anna-1")
    assert await both.all_known() == [(1, 0), (1, 0)]
    assert both.there.inside == ["ben-1"]


async def test_a_redis_that_stands_still_cuts_nobody_off(
    server: RedisServer, fronts: Fronts, invite: Invite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_contact, "ANSWER_SECONDS", 0.25)
    two = TwoFronts(server, fronts, invite)
    await two.begin()
    server.freeze()
    try:
        assert await two.all_known() == [(1, 0), (1, 0)]
        assert two.there.inside == ["ben-1"]
    finally:
        server.thaw()
