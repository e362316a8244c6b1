"""Answers and limits in a real Redis: shared, kept apart, and done without when it is away."""

from __future__ import annotations

import logging
import secrets
import time
from pathlib import Path

import httpx2
import pytest
from redis.asyncio import Redis

from appliance.errors import RateLimited
from appliance.gateway import redis_contact, redis_store
from appliance.gateway.caller import Caller
from appliance.gateway.counters import Counters, redis_storage
from appliance.gateway.holdings import Holding
from appliance.gateway.limits import RateLimits
from appliance.gateway.redis_contact import Contact, Counting, make_pool
from appliance.gateway.redis_holdings import SharedHoldings
from tests.clock import Clock
from tests.gateway.kept import ANSWER, store
from tests.logs import said_by
from tests.scripted_app import ScriptedAppliance, scripted_appliance
from tests.scripted_engine import KEY, scripted_engine
from tests.servers import RedisServer

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("patience")]


def limits(contact: Contact) -> RateLimits:
    counting = Counting(Counters(), Counters(redis_storage(contact.pool)), contact)
    return RateLimits("2/hour", counting)


async def test_an_answer_comes_back_as_it_was_and_lives_for_its_time(contact: Contact) -> None:
    await store(contact).put("k", ANSWER)
    assert await store(contact).get("k") == ANSWER
    assert await store(contact).get("another") is None
    assert await store(contact, scope="there").get("k") is None
    client = Redis(connection_pool=contact.pool)
    (name,) = await client.keys("*")
    assert 58 <= await client.ttl(name) <= 60


async def test_what_is_too_large_or_not_ours_is_computed_again(contact: Contact) -> None:
    await store(contact, max_bytes=100).put("k", ANSWER)
    assert await store(contact).get("k") is None
    client = Redis(connection_pool=contact.pool)
    for strange in (b"", b"\xff", b"{}", b"[]", b'{"request_id": 1, "events": [["exec", {}]]}'):
        await client.set(f"{redis_store.PREFIX}here:k", strange)
        assert await store(contact).get("k") is None


async def test_a_redis_that_was_killed_is_done_without_and_found_again(
    server: RedisServer, contact: Contact, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    kept = store(contact)
    await kept.put("k", ANSWER)
    server.kill()
    for _ in range(50):
        assert await kept.get("k") is None
        await kept.put("k", ANSWER)
    server.start()
    assert await kept.get("k") is None  # it is not asked for a while
    clock.now += redis_contact.AWAY_SECONDS
    await kept.put("k", ANSWER)
    assert await kept.get("k") == ANSWER
    assert [record.levelname for record in said_by(redis_contact, caplog)] == ["WARNING", "INFO"]


async def test_a_restart_in_between_is_not_even_noticed(
    server: RedisServer, contact: Contact, caplog: pytest.LogCaptureFixture
) -> None:
    kept = store(contact)
    await kept.put("k", ANSWER)
    server.kill()
    server.start()
    await kept.put("k", ANSWER)
    assert await kept.get("k") == ANSWER
    assert said_by(redis_contact, caplog) == []


async def test_a_redis_that_says_nothing_is_waited_for_once(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_contact, "ANSWER_SECONDS", 0.25)
    contact = Contact(make_pool(server.url), "alone")
    kept = store(contact)
    server.freeze()
    try:
        began = time.monotonic()
        for _ in range(50):
            assert await kept.get("k") is None
        # Two tries of a quarter of a second; fifty waits would be more than twelve.
        assert time.monotonic() - began < 10
    finally:
        server.thaw()
        await contact.close()


def caller(key_id: str) -> Caller:
    return Caller(name="anna", is_admin=False, client_ip="10.0.0.9", via="key", key_id=key_id)


async def test_two_appliances_count_one_limit_and_each_its_own_without_redis(
    server: RedisServer, contact: Contact, clock: Clock
) -> None:
    one, two = (limits(contact) for _ in range(2))
    await one.check(caller("k1"))
    await two.check(caller("k1"))
    with pytest.raises(RateLimited):
        await one.check(caller("k1"))
    await one.check(caller("k2"))

    server.kill()
    await one.check(caller("k1"))
    await one.check(caller("k1"))
    with pytest.raises(RateLimited):
        await one.check(caller("k1"))

    server.start()
    clock.now += redis_contact.AWAY_SECONDS
    await one.check(caller("k1"))
    await two.check(caller("k1"))
    with pytest.raises(RateLimited):
        await two.check(caller("k1"))


async def test_an_outage_is_noticed_and_told_once_for_all_who_ask(
    server: RedisServer, contact: Contact, caplog: pytest.LogCaptureFixture
) -> None:
    """Answers, limits and what is under way stand on one contact: the first failure is for all."""
    kept, counted, held = store(contact), limits(contact), SharedHoldings(contact)
    server.kill()
    for _ in range(3):
        assert await kept.get("k") is None
        await counted.check(caller(secrets.token_hex(4)))
        assert await held.take(Holding("k"), 9)
    server.start()
    await kept.put("k", ANSWER)
    assert await Redis(connection_pool=contact.pool).keys("*") == []
    assert [record.message.partition(" (")[0] for record in said_by(redis_contact, caplog)] == [
        "Redis is away: alone"
    ]


BODY = {"messages": [{"role": "user", "content": "say one two"}], "temperature": 0}


def ask(appliance: ScriptedAppliance, secret: str | None = None) -> tuple[str, str]:
    """What `x-cache` says, and the request's id."""
    headers = {"authorization": f"Bearer {secret}"} if secret else {}
    url = f"{appliance.url}/v1/chat/completions"
    answer = httpx2.post(url, json=BODY, headers=headers)
    assert answer.status_code == 200, answer.text
    assert "one two" in answer.json()["choices"][0]["message"]["content"]
    return answer.headers["x-cache"], answer.headers["x-request-id"]


def test_two_appliances_share_answers_and_no_caller_gets_anothers(
    server: RedisServer, tmp_path: Path
) -> None:
    """They stand before one engine and on one ledger, as behind a proxy."""
    with scripted_engine() as engine:
        flags = {
            "engine_url": engine.url,
            "engine_key": KEY,
            "redis_url": server.url,
            "database_url": f"sqlite:///{tmp_path / 'shared.db'}",
        }
        with (
            scripted_appliance(tmp_path / "a", **flags) as one,
            scripted_appliance(tmp_path / "b", **flags) as two,
        ):
            anna, ben = one.key("anna"), one.key("ben")
            said, first = ask(one, anna)
            assert said == "miss"
            assert f"request={first}" in ask(two, anna)[0]
            assert [ask(two, ben)[0], ask(one)[0], ask(two)[0]] == ["miss"] * 3
            assert ask(one)[0].startswith("hit")

            server.kill()
            assert [ask(one, anna)[0], ask(two, anna)[0]] == ["miss"] * 2
