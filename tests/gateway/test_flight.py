"""Work that several follow: whoever comes, whoever leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from appliance.errors import EngineFailed
from appliance.gateway.flight import Flight
from tests.waiting import until

pytestmark = pytest.mark.anyio


class Work:
    """Says one, waits for `go`, says two; then fails with `failure` if there is one."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.failure: Exception | None = None
        self.cancelled = False

    async def __call__(self) -> AsyncGenerator[str, None]:
        try:
            yield "one"
            await self.go.wait()
            yield "two"
            if self.failure:
                raise self.failure
        except asyncio.CancelledError:
            self.cancelled = True
            raise


async def everything(flight: Flight[str]) -> list[str]:
    async with aclosing(flight.follow()) as events:
        return [event async for event in events]


async def begun(flight: Flight[str], seen: list[str]) -> None:
    async with aclosing(flight.follow()) as events:
        async for event in events:
            seen.append(event)  # noqa: PERF401 - one by one, to be seen live


async def test_early_and_late_followers_see_all_of_it_live() -> None:
    work, flight, seen = Work(), Flight[str](), list[str]()
    flight.start(work())
    early = asyncio.create_task(begun(flight, seen))
    await until(lambda: seen == ["one"])
    late = asyncio.create_task(everything(flight))
    work.go.set()
    await early
    assert (seen, await late) == (["one", "two"], ["one", "two"])


async def test_the_first_may_leave_and_the_other_loses_nothing() -> None:
    work, flight, first, second = Work(), Flight[str](), list[str](), list[str]()
    flight.start(work())
    leader = asyncio.create_task(begun(flight, first))
    follower = asyncio.create_task(begun(flight, second))
    await until(lambda: first and second)
    leader.cancel()
    await asyncio.gather(leader, return_exceptions=True)
    assert (work.cancelled, flight.abandoned) == (False, False)
    work.go.set()
    await follower
    assert second == ["one", "two"]


async def test_the_last_to_leave_cancels_the_work_and_waits_for_its_end() -> None:
    work, flight = Work(), Flight[str]()
    flight.start(work())
    async with aclosing(flight.follow()) as one, aclosing(flight.follow()) as other:
        assert (await anext(one), await anext(other)) == ("one", "one")
        await one.aclose()
        assert not work.cancelled
        await other.aclose()
        assert (work.cancelled, flight.abandoned) == (True, True)


async def test_everybody_is_told_of_a_failure_after_what_was_said() -> None:
    work, flight, seen = Work(), Flight[str](), [list[str](), list[str]()]
    work.failure = EngineFailed("The engine died.")
    flight.start(work())
    followers = [asyncio.create_task(begun(flight, each)) for each in seen]
    await until(lambda: all(seen))
    work.go.set()
    outcomes = await asyncio.gather(*followers, return_exceptions=True)
    assert [str(each) for each in outcomes] == ["The engine died."] * 2
    assert seen == [["one", "two"]] * 2
