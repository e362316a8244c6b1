"""Kept answers: how long, how many, how large."""

from __future__ import annotations

import sys

import pytest

from appliance.domain import TextDelta, TokenLogprob, Usage
from appliance.gateway.store import KeptAnswer, MemoryStore
from tests.clock import Clock

pytestmark = pytest.mark.anyio


def kept(clock: Clock, text: str = "Hello.", logprobs: tuple[TokenLogprob, ...] = ()) -> KeptAnswer:
    return KeptAnswer(
        request_id="r",
        model="m",
        made_at=clock(),
        events=(TextDelta(text, logprobs=logprobs),),
        finish_reason="stop",
        usage=Usage(1, 1),
    )


async def test_an_answer_lives_for_its_time(clock: Clock) -> None:
    store = MemoryStore(seconds=60, max_bytes=10_000, clock=clock)
    await store.put("a", answer := kept(clock))
    clock.now += 59
    assert await store.get("a") is answer
    assert await store.get("b") is None
    clock.now += 1
    assert await store.get("a") is None
    assert (len(store), store.used_bytes) == (0, 0)


async def test_the_oldest_make_room(clock: Clock) -> None:
    store = MemoryStore(seconds=60, max_bytes=10_000, clock=clock)
    for name in "abcd":
        await store.put(name, kept(clock, name * 2000))
    assert store.used_bytes <= 10_000
    assert [await store.get(name) is not None for name in "abcd"] == [False, True, True, True]


async def test_a_new_answer_takes_the_old_ones_place_and_its_turn(clock: Clock) -> None:
    store = MemoryStore(seconds=60, max_bytes=10_000, clock=clock)
    await store.put("a", kept(clock, "x" * 4000))
    await store.put("b", kept(clock, "x" * 2000))
    await store.put("a", newer := kept(clock, "y" * 2000))
    await store.put("c", kept(clock, "x" * 5000))
    assert await store.get("a") is newer
    assert await store.get("b") is None


async def test_what_is_larger_than_all_room_is_not_kept_and_drives_nobody_out(clock: Clock) -> None:
    store = MemoryStore(seconds=60, max_bytes=10_000, clock=clock)
    await store.put("small", kept(clock))
    await store.put("large", kept(clock, "x" * 10_000))
    assert await store.get("large") is None
    assert await store.get("small") is not None


async def test_the_size_is_not_told_too_small(clock: Clock) -> None:
    top = tuple(TokenLogprob(f"token {n}", -1.0, tuple(range(7))) for n in range(20))
    answer = kept(clock, "你好" * 100, tuple(TokenLogprob("t", -0.1, (1,), top) for _ in range(50)))
    store = MemoryStore(seconds=60, max_bytes=10_000_000, clock=clock)
    await store.put("a", answer)
    (event,) = answer.events
    assert isinstance(event, TextDelta)
    entries = [each for entry in event.logprobs for each in (entry, *entry.top)]
    parts = [part for each in entries for part in (each, each.text, each.bytes, each.top)]
    assert store.used_bytes >= sum(map(sys.getsizeof, [event.text, event.logprobs, *parts]))
