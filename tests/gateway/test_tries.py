"""Wrong keys: counted where all fronts see them, and still counted when nobody answers there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from appliance.errors import RateLimited
from appliance.gateway.counters import redis_storage
from appliance.gateway.redis_contact import Contact, make_pool
from appliance.gateway.tries import WrongKeys
from tests.live import free_port
from tests.servers import RedisServer

pytestmark = pytest.mark.anyio


async def use_up(*fronts: WrongKeys) -> None:
    """Ten tries, each at the next front."""
    for number in range(10):
        front = fronts[number % len(fronts)]
        await front.check("192.0.2.1")
        await front.failed("192.0.2.1")


@asynccontextmanager
async def counting(url: str) -> AsyncIterator[WrongKeys]:
    contact = Contact(make_pool(url), "counted here")
    yield WrongKeys(redis_storage(contact.pool), contact)
    await contact.close()


async def test_fronts_count_together(server: RedisServer) -> None:
    async with counting(server.url) as one, counting(server.url) as other:
        await use_up(one, other)
        for front in (one, other):
            with pytest.raises(RateLimited):
                await front.check("192.0.2.1")
            await front.check("192.0.2.2")


async def test_without_an_answer_each_counts_by_itself() -> None:
    async with counting(f"redis://127.0.0.1:{free_port()}") as alone:
        await use_up(alone)
        with pytest.raises(RateLimited):
            await alone.check("192.0.2.1")
