"""Fronts that are asked the same at once take turns by a real Redis."""

from __future__ import annotations

import asyncio
import time

import pytest
from redis.asyncio import Redis

from appliance.gateway import redis_store, redis_turn
from appliance.gateway.redis_contact import Contact
from appliance.gateway.redis_store import RedisStore
from appliance.gateway.store import KeptAnswer
from tests.gateway.kept import ANSWER, store
from tests.servers import RedisServer

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("patience")]


async def first(kept: RedisStore, key: str, answer: KeptAnswer | None = ANSWER) -> str:
    """What came of it: somebody else's answer, or work of our own that took a moment."""
    async with kept.first(key) as found:
        if found is not None:
            return "given"
        await asyncio.sleep(0.1)
        if answer is not None:
            await kept.put(key, answer)
        return "computed"


async def test_fronts_that_ask_at_once_compute_once(contact: Contact) -> None:
    fronts = [store(contact) for _ in range(5)]
    for key in ("a", "b"):
        came = await asyncio.gather(*(first(front, key) for front in fronts))
        assert sorted(came) == ["computed"] + ["given"] * 4
    assert await first(fronts[0], "a") == "given"


async def test_who_computed_nothing_leaves_the_turn_to_the_next(contact: Contact) -> None:
    """An engine that failed, a client that left: nobody waits for what will not come."""
    fronts = [store(contact) for _ in range(3)]
    came = await asyncio.gather(*(first(front, "k", None) for front in fronts))
    assert came == ["computed"] * 3
    leaving = asyncio.create_task(first(fronts[0], "k", None))
    await asyncio.sleep(0.05)
    leaving.cancel()
    async with asyncio.timeout(redis_turn.LEASE_SECONDS / 2):
        assert await first(fronts[1], "k") == "computed"


async def test_a_front_that_died_is_waited_for_until_its_lease_ends(
    contact: Contact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_turn, "LEASE_SECONDS", 0.5)
    one, two = store(contact), store(contact)
    async with one.first("k") as nothing:
        assert nothing is None
        began = time.monotonic()
        assert await first(two, "k") == "computed"
        assert time.monotonic() - began > 0.4


async def test_a_lease_is_renewed_and_not_taken_from_another(
    contact: Contact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_turn, "LEASE_SECONDS", 1.0)
    monkeypatch.setattr(redis_turn, "RENEW_SECONDS", 0.1)
    one, two, client = store(contact), store(contact), Redis(connection_pool=contact.pool)
    async with one.first("k"):
        waiting = asyncio.create_task(first(two, "k"))
        await asyncio.sleep(2.0)
        assert not waiting.done()
        (name,) = await client.keys(f"{redis_store.TURN_PREFIX}*")
        await client.set(name, "somebody else's", px=60_000)
    await asyncio.sleep(0.3)
    assert await client.get(name) == b"somebody else's"
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_without_redis_everybody_computes(server: RedisServer, contact: Contact) -> None:
    one, two = store(contact), store(contact)
    async with one.first("k"):
        waiting = asyncio.create_task(first(two, "k"))
        await asyncio.sleep(0.05)
        server.kill()
        assert await waiting == "computed"
