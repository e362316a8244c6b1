"""Answers and limits in a real Redis: shared, kept apart, and done without when it is away."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from redis.asyncio import ConnectionPool, Redis

from appliance.domain import (
    ChoiceFinished,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)
from appliance.errors import RateLimited
from appliance.gateway import limits as limits_module
from appliance.gateway import redis_contact, redis_store
from appliance.gateway.caller import Caller
from appliance.gateway.limits import RateLimits
from appliance.gateway.redis_store import RedisStore, make_pool
from appliance.gateway.store import KeptAnswer
from tests.clock import Clock
from tests.scripted_app import ScriptedAppliance, scripted_appliance
from tests.scripted_engine import KEY, scripted_engine
from tests.servers import RedisServer

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("patience")]

ANSWER = KeptAnswer(
    request_id="r",
    model="m",
    made_at=1000.5,
    events=(
        ReasoningDelta("hm"),
        TextDelta(
            "你好 🦊", logprobs=(TokenLogprob("你", -0.5, (228, 189), (TokenLogprob("a", -1),)),)
        ),
        ToolCallDelta(0, "id", "name", '{"a": 1}', choice=1),
        ChoiceFinished("tool_calls", 1),
    ),
    finish_reason="stop",
    usage=Usage(3, 4, 1, 2),
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def pool(server: RedisServer) -> AsyncIterator[ConnectionPool]:
    pool = make_pool(server.url)
    yield pool
    await pool.disconnect()


def store(pool: ConnectionPool, clock: Clock | None = None, **changes: Any) -> RedisStore:
    options: dict[str, Any] = {"scope": "here", "seconds": 60, "max_bytes": 10_000}
    return RedisStore(pool, clock=clock or Clock(), **(options | changes))


async def test_an_answer_comes_back_as_it_was_and_lives_for_its_time(pool: ConnectionPool) -> None:
    await store(pool).put("k", ANSWER)
    assert await store(pool).get("k") == ANSWER
    assert await store(pool).get("another") is None
    assert await store(pool, scope="there").get("k") is None
    client = Redis(connection_pool=pool)
    (name,) = await client.keys("*")
    assert 58 <= await client.ttl(name) <= 60


async def test_what_is_too_large_or_not_ours_is_computed_again(pool: ConnectionPool) -> None:
    await store(pool, max_bytes=100).put("k", ANSWER)
    assert await store(pool).get("k") is None
    client = Redis(connection_pool=pool)
    for strange in (b"", b"\xff", b"{}", b"[]", b'{"request_id": 1, "events": [["exec", {}]]}'):
        await client.set(f"{redis_store.PREFIX}here:k", strange)
        assert await store(pool).get("k") is None


async def test_a_redis_that_was_killed_is_done_without_and_found_again(
    server: RedisServer, pool: ConnectionPool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    kept, clock = store(pool, clock := Clock()), clock
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
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


async def test_a_restart_in_between_is_not_even_noticed(
    server: RedisServer, pool: ConnectionPool, caplog: pytest.LogCaptureFixture
) -> None:
    kept = store(pool)
    await kept.put("k", ANSWER)
    server.kill()
    server.start()
    await kept.put("k", ANSWER)
    assert await kept.get("k") == ANSWER
    assert caplog.records == []


async def test_a_redis_that_says_nothing_is_waited_for_once(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_store, "ANSWER_SECONDS", 0.25)
    pool = make_pool(server.url)
    kept = store(pool)
    server.freeze()
    try:
        began = time.monotonic()
        for _ in range(50):
            assert await kept.get("k") is None
        # Two tries of a quarter of a second; fifty waits would be more than twelve.
        assert time.monotonic() - began < 10
    finally:
        server.thaw()
        await pool.disconnect()


def caller(key_id: str) -> Caller:
    return Caller(name="anna", is_admin=False, client_ip="10.0.0.9", via="key", key_id=key_id)


async def test_two_appliances_count_one_limit_and_each_its_own_without_redis(
    server: RedisServer, pool: ConnectionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (RateLimits("2/hour", server.url, pool=pool) for _ in range(2))
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
    monkeypatch.setattr(limits_module, "AWAY_SECONDS", 0.0)
    one._away_until = 0.0
    await one.check(caller("k1"))
    await two.check(caller("k1"))
    with pytest.raises(RateLimited):
        await two.check(caller("k1"))


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
