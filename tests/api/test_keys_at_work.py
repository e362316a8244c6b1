"""Keys as their holders meet them: limits with their headers, and the queue."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from tests.api.working import (
    bearer,
    busy,
    new_key,
    queue_of,
    say,
    waiting,
)
from tests.scripted_app import ScriptedAppliance

pytestmark = pytest.mark.anyio


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
