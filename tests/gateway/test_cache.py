"""Answers given again: to whom, for what, and what the ledger and the engine see of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest

from appliance.domain import (
    Admitted,
    ChoiceFinished,
    Event,
    Finished,
    GenerationRequest,
    Message,
    Sampling,
    TextDelta,
)
from appliance.engine.config import EngineFacts
from appliance.errors import EngineFailed, RateLimited
from appliance.gateway.cache import AnswerCache, merged
from appliance.gateway.limits import RateLimits
from appliance.gateway.store import MemoryStore
from tests.clock import Clock
from tests.gateway.house import ANNA, BEN, GREEDY, House
from tests.scripted_engine import ScriptedEngine
from tests.waiting import until

pytestmark = pytest.mark.anyio

FACTS = EngineFacts(
    model="m", backend="openvino", engine_version="1", precision="gguf", context_length=100,
    kv_tokens=100, max_concurrency=1, capabilities=(), load_seconds=1.5,
)  # fmt: skip
ASKED = GenerationRequest(prompt=(Message("user", "Hi"),), sampling=GREEDY)


@pytest.fixture
def cached(house: House, script: ScriptedEngine, clock: Clock) -> House:
    script.release.clear()
    script.started.clear()
    script.left.clear()
    store = MemoryStore(seconds=60, max_bytes=100_000, clock=clock)
    return house.with_parts(cache=AnswerCache(store, clock))


def text(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def admitted(events: list[Event]) -> Admitted:
    assert isinstance(events[0], Admitted)
    return events[0]


async def first_word(events: AsyncGenerator[Event, None]) -> None:
    async for event in events:
        if isinstance(event, TextDelta):
            return


# --- What is the same request ------------------------------------------------------------------


async def test_the_second_answer_costs_the_engine_nothing(
    cached: House, script: ScriptedEngine, clock: Clock
) -> None:
    first = await cached.ask("say one two", sampling=GREEDY)
    asked = len(script.bodies)
    clock.now += 7
    second = await cached.ask("say one two", sampling=GREEDY)
    assert len(script.bodies) == asked
    assert text(second) == text(first) == "one two "
    assert ChoiceFinished("stop") in second
    one, two = await cached.rows()
    assert (one.cached_from, two.cached_from) == (None, one.request_id)
    assert (two.output, two.finish_reason) == ("one two ", "stop")
    assert (two.prompt_tokens, two.cached_tokens, two.completion_tokens) == (7, 7, 2)
    again = admitted(second)
    assert (again.cached_from, again.cache_age) == (one.request_id, 7.0)
    assert (again.generation_id, again.model) == (two.id, "scripted")
    end = second[-1]
    assert isinstance(end, Finished)
    assert end.timings.duration_ms < 1000
    assert (admitted(first).cached_from, admitted(first).cache_age) == (None, None)


async def test_everything_of_an_answer_is_given_again(cached: House) -> None:
    for order in ("think", 'call look {"a": 1}', "scored one"):
        how: dict[str, Any] = {"sampling": GREEDY, "top_logprobs": 1}
        first = await cached.ask(order, **how)
        second = await cached.ask(order, **how)
        said = [event for event in first[1:-1] if not isinstance(event, Admitted | Finished)]
        assert tuple(second[1:-1]) == merged(said)
    before, after = (await cached.rows())[2:4]
    assert before.tool_calls == after.tool_calls != None  # noqa: E711 - all three in one


@pytest.mark.parametrize(
    ("caller", "how"),
    [
        (BEN, {}),
        (ANNA, {"use_cache": False}),
        (ANNA, {"sampling": Sampling(temperature=0.0, max_tokens=5)}),
        (ANNA, {"sampling": Sampling(temperature=0.5)}),
    ],
    ids=["another caller", "no-store", "another request", "not deterministic"],
)
async def test_others_are_computed(
    cached: House, script: ScriptedEngine, caller: Any, how: dict[str, Any]
) -> None:
    await cached.ask("say one", sampling=GREEDY)
    asked = len(script.bodies)
    events = await cached.ask("say one", caller, **({"sampling": GREEDY} | how))
    assert admitted(events).cached_from is None
    assert len(script.bodies) == asked + 1


async def test_no_store_keeps_nothing_either(cached: House, script: ScriptedEngine) -> None:
    await cached.ask("say one", sampling=GREEDY, use_cache=False)
    events = await cached.ask("say one", sampling=GREEDY)
    assert admitted(events).cached_from is None


async def test_an_old_answer_is_computed_anew(cached: House, clock: Clock) -> None:
    await cached.ask("say one", sampling=GREEDY)
    clock.now += 61
    assert admitted(await cached.ask("say one", sampling=GREEDY)).cached_from is None


async def test_a_broken_answer_is_not_kept(cached: House) -> None:
    for _ in range(2):
        with pytest.raises(EngineFailed):
            await cached.ask("die", sampling=GREEDY)
    assert [(row.cached_from, row.output) for row in await cached.rows()] == [(None, "die ")] * 2


async def test_an_answer_given_again_counts_against_the_limit(cached: House, clock: Clock) -> None:
    cache = AnswerCache(MemoryStore(seconds=60, max_bytes=100_000, clock=clock), clock)
    cached.with_parts(limits=RateLimits("2/minute"), cache=cache)
    await cached.ask("say one", sampling=GREEDY)
    await cached.ask("say one", sampling=GREEDY)
    with pytest.raises(RateLimited):
        await cached.ask("say one", sampling=GREEDY)
    assert [row.finish_reason for row in await cached.rows()] == ["stop", "stop", "error"]


# --- At the same time --------------------------------------------------------------------------


async def both(cached: House, script: ScriptedEngine) -> tuple[Any, Any, int]:
    """Two identical requests under way, the second on the first one's work."""
    before = len(script.bodies)
    leader, follower = (cached.run("wait", sampling=GREEDY) for _ in range(2))
    await first_word(leader)
    await first_word(follower)
    assert len(script.bodies) == before + 1
    return leader, follower, before


async def test_identical_requests_at_once_are_computed_once(
    cached: House, script: ScriptedEngine
) -> None:
    asks = [asyncio.create_task(cached.ask("wait", sampling=GREEDY)) for _ in range(3)]
    before = len(script.bodies)
    await until(script.started.is_set)
    script.release.set()
    answers = await asyncio.gather(*asks)
    assert len(script.bodies) == before + 1
    assert [text(events) for events in answers] == ["wait "] * 3
    rows = await cached.rows()
    assert [row.cached_from for row in rows] == [None, rows[0].request_id, rows[0].request_id]
    assert admitted(answers[1]).cache_age == 0.0


async def test_a_follower_sees_the_answer_grow(cached: House, script: ScriptedEngine) -> None:
    leader, follower, _ = await both(cached, script)
    assert cached.queue.running == 1
    await leader.aclose()
    await follower.aclose()
    assert script.left.wait(5)
    assert cached.queue.running == 0


async def test_when_the_first_leaves_the_other_gets_its_answer(
    cached: House, script: ScriptedEngine
) -> None:
    leader, follower, before = await both(cached, script)
    await leader.aclose()
    script.release.set()
    async with aclosing(follower):
        rest = [event async for event in follower]
    assert isinstance(rest[-1], Finished)
    assert len(script.bodies) == before + 1
    rows = await cached.rows()
    assert [row.finish_reason for row in rows] == ["cancelled", "stop"]
    assert admitted(await cached.ask("wait", sampling=GREEDY)).cached_from == rows[0].request_id


async def test_all_left_means_cancelled_and_the_next_begins_anew(
    cached: House, script: ScriptedEngine
) -> None:
    leader, follower, before = await both(cached, script)
    await asyncio.gather(leader.aclose(), follower.aclose())
    script.release.set()
    assert text(await cached.ask("wait", sampling=GREEDY)) == "wait "
    assert len(script.bodies) == before + 2


async def test_an_answer_that_was_hurried_is_kept_for_nobody(
    cached: House, script: ScriptedEngine
) -> None:
    before = len(script.bodies)
    async with aclosing(cached.run("wait", sampling=GREEDY)) as events:
        first = await anext(events)
        assert isinstance(first, Admitted)
        await cached.gateway.answer_now(first.generation_id, ANNA)
        script.release.set()
        assert [event async for event in events]
    assert admitted(await cached.ask("wait", sampling=GREEDY)).cached_from is None
    assert len(script.bodies) == before + 2
