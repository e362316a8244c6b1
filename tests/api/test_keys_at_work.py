"""Keys as their holders meet them: limits with their headers, the queue, and being revoked."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

import anyio
import httpx2
import pytest
from sqlmodel import col, update

from appliance.ledger.database import Database
from appliance.ledger.keys import KeyStore
from appliance.ledger.tables_keys import ApiKey
from appliance.ledger.writer import Writer
from tests.scripted_app import ScriptedAppliance, scripted_appliance
from tests.scripted_engine import KEY
from tests.waiting import until

pytestmark = pytest.mark.anyio
T = TypeVar("T")


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedAppliance]:
    """One place at the engine, and short lines before it."""
    limits = {"queue_limit": 60, "queue_limit_per_key": 55}
    folder = tmp_path_factory.mktemp("narrow")
    with scripted_appliance(folder, max_concurrency=1, cache_minutes=0, **limits) as running:
        yield running


def say(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "auto", "messages": [{"role": "user", "content": text}], **more}


def revoke(house: ScriptedAppliance, name: str) -> None:
    """As the command line does it: beside the running appliance."""
    anyio.run(beside, house, lambda _, keys: keys.revoke(name))


def rotate(house: ScriptedAppliance, name: str) -> None:
    """Without grace."""
    anyio.run(beside, house, lambda _, keys: keys.rotate(name))


def expire(house: ScriptedAppliance, name: str) -> None:
    """As if the key's last moment had just gone by."""
    now = update(ApiKey).where(col(ApiKey.name) == name).values(expires_at=datetime.now(UTC))
    anyio.run(beside, house, lambda writer, _: writer.execute(lambda s: s.execute(now)))


async def beside(
    house: ScriptedAppliance, work: Callable[[Writer, KeyStore], Awaitable[object]]
) -> None:
    database = Database(house.settings.effective_database_url)
    writer = Writer(database)
    await work(writer, KeyStore(database, writer))
    writer.close()
    database.close()


async def aside(work: Callable[..., T], *args: Any, **more: Any) -> T:
    """In a thread that knows of no event loop, so that it may run one of its own."""
    return await asyncio.get_running_loop().run_in_executor(None, partial(work, *args, **more))


async def new_key(house: ScriptedAppliance, name: str) -> str:
    return await aside(house.key, name)


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


@asynccontextmanager
async def busy(house: ScriptedAppliance, **headers: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A client, while somebody else's answer holds the only place until `release` is set."""
    house.engine.release.clear()
    house.engine.started.clear()
    async with httpx2.AsyncClient(base_url=house.url, timeout=30) as client:
        body = {"prompt": "wait", "stream": True}
        async with client.stream("POST", "/generate", json=body, headers=headers):
            await until(house.engine.started.is_set)
            try:
                yield client
            finally:
                house.engine.release.set()


async def queue_of(client: httpx2.AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get("/admin/queue")).json()
    return found


async def waiting(client: httpx2.AsyncClient, count: int) -> dict[str, Any]:
    """The queue, once so many wait in it."""
    for _ in range(5000):
        if len((found := await queue_of(client))["waiting"]) >= count:
            return found
    raise AssertionError(f"never {count} waiting: {found}")


def test_answers_tell_what_is_left_and_a_refusal_when_to_come_back(
    house: ScriptedAppliance, client: httpx2.Client
) -> None:
    secret = house.key("limited", rate="2/minute", tokens_per_minute=5000, tokens_per_day=9000)
    first = client.post("/v1/chat/completions", json=say("text"), headers=bearer(secret))
    assert first.status_code == 200
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert first.headers["x-ratelimit-remaining-requests"] == "1"
    assert first.headers["x-ratelimit-limit-tokens"] == "5000"
    assert int(first.headers["x-ratelimit-remaining-tokens"]) < 5000
    assert '"requests-60s";q=2;w=60' in first.headers["ratelimit-policy"]
    assert '"tokens-86400s";q=9000;w=86400' in first.headers["ratelimit-policy"]
    assert '"requests-60s";r=1;t=' in first.headers["ratelimit"]

    client.post("/v1/chat/completions", json=say("text"), headers=bearer(secret))
    for path, body in (("/v1/chat/completions", say("text")), ("/generate", {"prompt": "text"})):
        refused = client.post(path, json=body, headers=bearer(secret))
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert "2/minute for limited" in refused.json()["detail"]


def test_whoever_has_no_limits_sees_none(client: httpx2.Client) -> None:
    answer = client.post("/generate", json={"prompt": "text"})
    assert not [name for name in answer.headers if "ratelimit" in name]


def test_tokens_are_reserved_and_then_counted_as_the_engine_counts_them(
    house: ScriptedAppliance, client: httpx2.Client
) -> None:
    secret = house.key("thrifty", tokens_per_day=600)
    headers = bearer(secret)
    too_much = client.post("/generate", json={"prompt": "text", "max_tokens": 700}, headers=headers)
    assert too_much.status_code == 400
    assert too_much.json()["param"] == "max_tokens"
    # Each reserves 500 and more, and really uses a handful: two fit, one after the other.
    for _ in range(2):
        answer = client.post(
            "/generate", json={"prompt": "text", "max_tokens": 500}, headers=headers
        )
        assert answer.status_code == 200
    used = 600 - int(answer.headers["x-ratelimit-remaining-tokens"])
    assert 0 < used < 600


def test_wrong_keys_are_throttled_and_good_ones_are_not(narrow: ScriptedAppliance) -> None:
    with httpx2.Client(base_url=narrow.url) as client:
        good = narrow.key("anna")
        wrong = [client.get("/v1/models", headers=bearer("sk-appl-no")) for _ in range(11)]
        assert [answer.status_code for answer in wrong] == [401] * 10 + [429]
        assert 1 <= int(wrong[-1].headers["retry-after"]) <= 60
        assert wrong[-1].json()["error"]["type"] == "rate_limit_error"
        assert client.get("/v1/models", headers=bearer(good)).status_code == 200


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/generate"])
@pytest.mark.parametrize(
    ("end", "said"),
    [(revoke, "was revoked"), (expire, "has expired"), (rotate, "was replaced")],
)
async def test_the_end_of_a_key_ends_a_running_stream_within_a_second(
    narrow: ScriptedAppliance, path: str, end: Callable[..., None], said: str
) -> None:
    name = f"eve who {said} at {path.rpartition('/')[2]}"
    secret = await new_key(narrow, name)
    mark = await aside(narrow.mark)
    narrow.engine.release.clear()
    narrow.engine.started.clear()
    body = say("wait", stream=True) if path[1] == "v" else {"prompt": "wait", "stream": True}
    async with (
        httpx2.AsyncClient(base_url=narrow.url, timeout=30) as client,
        client.stream("POST", path, json=body, headers=bearer(secret)) as answer,
    ):
        await until(narrow.engine.started.is_set)
        await aside(end, narrow, name)
        ended = time.monotonic()
        events = [line[6:] async for line in answer.aiter_lines() if line.startswith("data: {")]
        # A second is promised; a busy machine may need longer to notice.
        assert time.monotonic() - ended < 5
    error = json.loads(events[-1])["error"]
    assert said in (error["message"] if isinstance(error, dict) else error)
    await until(lambda: narrow.engine.running == 0)
    ((request, generation),) = await aside(narrow.rows, path, after=mark)
    assert generation is not None
    assert said in (request.error or "")
    assert said in (generation.error or "")


async def test_revoking_ends_what_an_open_page_follows(narrow: ScriptedAppliance) -> None:
    secret = await aside(narrow.key, "spy", scopes=["history"])
    address, headers = "/history/live?after=0&show=all", bearer(secret)
    async with httpx2.AsyncClient(base_url=narrow.url, timeout=30) as browser:
        await browser.get("/history", headers=headers)
        async with browser.stream("GET", address, headers=headers) as live:
            lines = live.aiter_lines()
            assert await anext(lines) == "event: rows"
            await aside(revoke, narrow, "spy")
            ended = time.monotonic()
            assert not [line async for line in lines if "event: rows" in line]
            assert time.monotonic() - ended < 5


@pytest.mark.parametrize(("end", "said"), [(revoke, "was revoked"), (rotate, "was replaced")])
async def test_the_end_of_a_key_ends_what_it_has_another_server_say(
    narrow: ScriptedAppliance, end: Callable[..., None], said: str
) -> None:
    name = f"root who {said}"
    secret = await aside(narrow.key, name, is_admin=True)
    async with httpx2.AsyncClient(
        base_url=narrow.url, headers=bearer(secret), timeout=30
    ) as client:
        narrow.engine.release.set()
        asked = await client.post("/v1/chat/completions", json=say("wait"))
        narrow.engine.release.clear()
        narrow.engine.started.clear()
        await client.get("/history")  # once the row is written
        path = f"/admin/requests/{asked.headers['x-request-id']}/replay"
        there = {"url": narrow.engine.url, "key": KEY}
        replay = asyncio.create_task(client.post(path, json=there))
        await until(narrow.engine.started.is_set)
        await aside(end, narrow, name)
        ended = time.monotonic()
        answer = await replay
        assert time.monotonic() - ended < 5
    assert answer.status_code == 401
    assert said in answer.json()["detail"]
    await until(lambda: narrow.engine.running == 0)


async def test_by_another_server_nobody_becomes_the_owner_of_this_one(
    narrow: ScriptedAppliance,
) -> None:
    secret = await aside(narrow.key, "ada", is_admin=True)
    async with httpx2.AsyncClient(base_url=narrow.url, headers=bearer(secret)) as client:
        asked = await client.post("/v1/chat/completions", json=say("text"))
        await client.get("/history")
        mark = await aside(narrow.mark)
        path = f"/admin/requests/{asked.headers['x-request-id']}/replay"
        answer = await client.post(path, json={"url": narrow.url, "model": "auto"})
    assert answer.status_code == 502
    ((refused, _),) = await aside(narrow.rows, "/v1/chat/completions", after=mark)
    assert (refused.status, refused.key_name) == (401, None)


async def test_revoking_ends_what_waits_in_the_queue(narrow: ScriptedAppliance) -> None:
    secret = await new_key(narrow, "mallory")
    async with busy(narrow) as client:
        body = say("text")
        asked = asyncio.create_task(
            client.post("/v1/chat/completions", json=body, headers=bearer(secret))
        )
        await waiting(client, 1)
        await aside(revoke, narrow, "mallory")
        answer = await asked
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "invalid_api_key"
        assert not (await queue_of(client))["waiting"]


async def test_a_stream_that_waits_is_told_its_place_as_comments(
    narrow: ScriptedAppliance,
) -> None:
    async with busy(narrow) as client:
        body = say("text", stream=True)
        async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
            assert answer.status_code == 200
            lines = answer.aiter_lines()
            first = await anext(lines)
            assert first.startswith(": queued 1")
            (waits,) = (await queue_of(client))["waiting"]
            assert (waits["name"], waits["position"], waits["interactive"]) == ("owner", 1, False)
            narrow.engine.release.set()
            rest = [line async for line in lines if line]
    assert rest[-1] == "data: [DONE]"
    assert '"finish_reason":"stop"' in "".join(rest)


async def test_beyond_what_a_key_may_have_waiting_it_is_told_to_come_back(
    narrow: ScriptedAppliance,
) -> None:
    secret = await new_key(narrow, "eager")
    async with busy(narrow) as client:
        posts = [
            asyncio.create_task(
                client.post("/generate", json={"prompt": "text"}, headers=bearer(secret))
            )
            for _ in range(56)
        ]
        found = await waiting(client, 55)
        assert found["limit_per_key"] == 55
        (refused,) = (await asyncio.wait(posts, return_when=asyncio.FIRST_COMPLETED))[0]
        assert (refused.result().status_code, "retry-after" in refused.result().headers) == (
            429,
            True,
        )
        narrow.engine.release.set()
        answers = await asyncio.gather(*posts)
    assert sorted(answer.status_code for answer in answers) == [200] * 55 + [429]


async def test_fifty_requests_of_one_key_do_not_hold_up_a_single_one(
    narrow: ScriptedAppliance,
) -> None:
    noisy, single = [await new_key(narrow, name) for name in ("noisy", "single")]
    async with busy(narrow, **bearer(noisy)) as client:
        noise = [
            asyncio.create_task(
                client.post("/generate", json={"prompt": "text"}, headers=bearer(noisy))
            )
            for _ in range(50)
        ]
        await waiting(client, 50)
        mine = asyncio.create_task(
            client.post("/generate", json={"prompt": "text"}, headers=bearer(single))
        )
        found = await waiting(client, 51)
        assert next(w for w in found["waiting"] if w["name"] == "single")["position"] == 1
        before = len(narrow.engine.bodies)
        narrow.engine.release.set()
        assert (await mine).status_code == 200
        await asyncio.gather(*noise)
        assert len(narrow.engine.bodies) == before + 51
