"""Tokens of a minute and a day, requests at once, and what is told of them."""

from __future__ import annotations

from typing import Any

import pytest

from appliance.errors import InvalidRequest, RateLimited
from appliance.gateway.allowance import Allowance, headers
from appliance.gateway.caller import Caller
from appliance.gateway.counters import Counters
from appliance.gateway.limits import DAY, RateLimits
from appliance.gateway.redis_contact import Counting
from tests.clock import Clock

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock() -> Clock:
    """Seconds since 1970, at the beginning of a minute and of a day."""
    return Clock(DAY * 20_000.0)


def caller(name: str = "anna", **limits: Any) -> Caller:
    return Caller(name=name, is_admin=False, client_ip="10.0.0.1", via="key", key_id=name, **limits)


async def use(limits: RateLimits, who: Caller, reserved: int, used: int) -> None:
    await limits.settle(await limits.reserve(who, reserved), used)


async def test_what_was_really_used_counts_and_fades(clock: Clock) -> None:
    limits, anna = RateLimits(None, Counting(Counters(clock=clock))), caller(tokens_per_minute=100)
    await use(limits, anna, 90, 60)
    with pytest.raises(RateLimited, match="100 tokens/minute for anna") as refused:
        await limits.reserve(anna, 41)
    assert refused.value.retry_after is not None
    # It has to fade to 59 of 60: a whole minute, and a sixtieth of the next.
    assert refused.value.retry_after == pytest.approx(61, abs=0.5)
    clock.now += refused.value.retry_after
    await limits.reserve(anna, 41)


async def test_an_answer_longer_than_reserved_is_counted_in_full(clock: Clock) -> None:
    limits, anna = RateLimits(None, Counting(Counters(clock=clock))), caller(tokens_per_day=100)
    await use(limits, anna, 10, 250)
    with pytest.raises(RateLimited) as refused:
        await limits.reserve(anna, 1)
    assert refused.value.retry_after is not None
    clock.now += refused.value.retry_after + 1
    await limits.reserve(anna, 1)


async def test_what_is_reserved_counts_until_it_is_settled(clock: Clock) -> None:
    limits, anna = RateLimits(None, Counting(Counters(clock=clock))), caller(tokens_per_minute=100)
    held = await limits.reserve(anna, 80)
    with pytest.raises(RateLimited):
        await limits.reserve(anna, 30)
    await limits.reserve(caller("ben", tokens_per_minute=100), 30)
    await limits.settle(held, 0)
    await limits.reserve(anna, 100)


async def test_more_than_there_ever_is_is_refused_for_good(clock: Clock) -> None:
    limits = RateLimits(None, Counting(Counters(clock=clock)))
    with pytest.raises(InvalidRequest, match="up to 101 tokens; the key anna has 100") as refused:
        await limits.reserve(caller(tokens_per_day=100), 101)
    assert refused.value.param == "max_tokens"


async def test_only_so_many_at_once(clock: Clock) -> None:
    limits, anna = RateLimits(None, Counting(Counters(clock=clock))), caller(parallel=1)
    async with limits.at_once(anna):
        with pytest.raises(RateLimited, match="1 requests of anna are under way"):
            await limits.at_once(anna).__aenter__()
        async with limits.at_once(caller("ben", parallel=1)):
            pass
    async with limits.at_once(anna):
        pass


async def test_whoever_has_no_key_is_counted_by_address() -> None:
    limits = RateLimits("1/minute")
    here, there = (
        Caller(name="owner", is_admin=True, client_ip=ip, via="owner") for ip in ("::1", "10.0.0.2")
    )
    await limits.check(here)
    await limits.check(there)
    with pytest.raises(RateLimited):
        await limits.check(here)


async def test_the_allowances_are_what_is_left(clock: Clock) -> None:
    limits = RateLimits(None, Counting(Counters(clock=clock)))
    anna = caller(tokens_per_minute=100, tokens_per_day=1000)
    await use(limits, anna, 50, 30)
    await limits.reserve(anna, 20)
    left = [(one.kind, one.limit, one.left, one.window) for one in await limits.allowances(anna)]
    assert left == [("tokens", 100, 50, 60), ("tokens", 1000, 950, DAY)]


def test_headers_are_those_of_openai_and_of_the_draft() -> None:
    told = headers(
        [
            Allowance("requests", 60, 59, 0.4, 60),
            Allowance("tokens", 1000, 400, 60, 60),
            Allowance("tokens", 9000, 300, 86_400, 86_400),
        ]
    )
    assert told == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "9000",
        "x-ratelimit-remaining-tokens": "300",
        "x-ratelimit-reset-tokens": "24h0m0s",
        "ratelimit-policy": '"requests-60s";q=60;w=60, "tokens-60s";q=1000;w=60, '
        '"tokens-86400s";q=9000;w=86400',
        "ratelimit": '"requests-60s";r=59;t=1, "tokens-60s";r=400;t=60, '
        '"tokens-86400s";r=300;t=86400',
    }
    assert headers([]) == {}
