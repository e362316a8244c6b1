"""What callers have under way, counted over several fronts in a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from appliance.errors import RateLimited
from appliance.gateway import redis_contact, redis_holdings
from appliance.gateway.caller import Caller
from appliance.gateway.counters import Counters, redis_storage
from appliance.gateway.holdings import Holding
from appliance.gateway.limits import RateLimits
from appliance.gateway.redis_contact import Contact, Counting, make_pool
from appliance.gateway.redis_holdings import SharedHoldings
from tests.servers import RedisServer

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("patience")]

MakeLimits = Callable[[], RateLimits]


def caller(key_id: str = "k", **limits: Any) -> Caller:
    return Caller(
        name="anna", is_admin=False, client_ip="10.0.0.1", via="key", key_id=key_id, **limits
    )


@pytest.fixture
async def make_limits(server: RedisServer) -> AsyncIterator[MakeLimits]:
    """Limits of a further front."""
    async with AsyncExitStack() as stack:

        def made() -> RateLimits:
            contact = Contact(make_pool(server.url), "counted here")
            stack.push_async_callback(contact.close)
            counting = Counting(Counters(), Counters(redis_storage(contact.pool)), contact)
            return RateLimits(None, counting, SharedHoldings(contact))

        yield made


async def may(limits: RateLimits, who: Caller) -> bool:
    """Whether one more request is let in now."""
    try:
        async with limits.at_once(who):
            return True
    except RateLimited:
        return False


async def test_requests_at_once_are_those_of_all_fronts(make_limits: MakeLimits) -> None:
    one, two, anna = make_limits(), make_limits(), caller(parallel=2)
    async with one.at_once(anna), two.at_once(anna):
        with pytest.raises(RateLimited, match="2 requests of anna are under way"):
            await one.at_once(anna).__aenter__()
        assert not await may(two, anna)
        assert await may(one, caller("k2", parallel=1))
    # Whoever sees the end of an answer may ask again at once, wherever that is.
    for limits in (one, two) * 10:
        assert await may(limits, caller(parallel=1))


async def test_whoever_is_cancelled_gives_back_too(make_limits: MakeLimits) -> None:
    one, two, anna = make_limits(), make_limits(), caller(parallel=1)
    inside = asyncio.Event()

    async def stay() -> None:
        async with one.at_once(anna):
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(stay())
    await inside.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await one._holdings.settled()
    assert await may(two, anna)


async def test_tokens_are_reserved_for_all_fronts(make_limits: MakeLimits) -> None:
    one, two, anna = make_limits(), make_limits(), caller(tokens_per_day=100)
    held = await one.reserve(anna, 80)
    with pytest.raises(RateLimited):
        await two.reserve(anna, 30)
    assert [allowance.left for allowance in await two.allowances(anna)] == [20]
    await one.settle(held, 10)
    await two.settle(await two.reserve(anna, 90), 5)
    assert [allowance.left for allowance in await one.allowances(anna)] == [85]


async def test_a_dead_fronts_share_comes_back_and_a_living_ones_does_not(
    make_limits: MakeLimits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_holdings, "LEASE_SECONDS", 1.0)
    monkeypatch.setattr(redis_holdings, "BEAT_SECONDS", 0.1)
    dead, alive, anna, ben = (
        make_limits(),
        make_limits(),
        caller(parallel=1),
        caller("b", parallel=1),
    )
    keeping = asyncio.create_task(alive.keep())
    await dead._holdings.take(Holding(f"requests/{anna.counted_as}"))
    async with alive.at_once(ben):
        assert not await may(alive, anna)
        async with asyncio.timeout(30):
            while not await may(alive, anna):
                assert not await may(alive, ben)
        assert not await may(alive, ben)
    assert await may(alive, ben)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


async def test_without_redis_each_front_counts_its_own_and_tells_it_afterwards(
    make_limits: MakeLimits, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_contact, "AWAY_SECONDS", 0.0)
    monkeypatch.setattr(redis_holdings, "BEAT_SECONDS", 0.05)
    one, two, anna = make_limits(), make_limits(), caller(parallel=1)
    keeping = asyncio.create_task(one.keep())
    async with one.at_once(anna):
        server.kill()
        assert [await may(limits, anna) for limits in (one, two)] == [False, True]
        server.start()
        async with asyncio.timeout(30):
            while await may(two, anna):
                pass
    assert await may(two, anna)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
