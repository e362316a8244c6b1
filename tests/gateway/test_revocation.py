"""An interrupted generator raises where it waits, and nobody else notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection

import pytest

from appliance.errors import NotAuthenticated
from appliance.gateway.revocation import Interrupt, Revocations
from appliance.ledger.credential import Credential, Ending
from tests.waiting import until

pytestmark = pytest.mark.anyio
REVOKED = NotAuthenticated("revoked")
ANNA, EVE, LATE = (Credential(name, secret_hash="") for name in ("anna", "eve", "late"))


async def waiting_for_ever(interrupt: Interrupt) -> AsyncGenerator[int, None]:
    with interrupt.raised():
        interrupt.leave()
        yield 1
        interrupt.enter()
        await asyncio.Event().wait()


async def test_it_is_raised_where_the_generator_waits() -> None:
    interrupt = Interrupt()
    events = waiting_for_ever(interrupt)
    await anext(events)
    task = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0)
    interrupt.end(REVOKED)
    with pytest.raises(NotAuthenticated):
        await task
    assert not task.cancelled()


async def test_a_busy_consumer_is_left_alone_and_told_next_time() -> None:
    interrupt = Interrupt()
    events = waiting_for_ever(interrupt)
    await anext(events)
    interrupt.end(REVOKED)
    await asyncio.sleep(0)
    with pytest.raises(NotAuthenticated):
        await anext(events)


async def test_whoever_is_cancelled_otherwise_stays_cancelled() -> None:
    interrupt = Interrupt()
    events = waiting_for_ever(interrupt)
    await anext(events)
    task = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0)
    interrupt.end(REVOKED)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


class Keys:
    """Says what is over; its first answer is an error."""

    def __init__(self) -> None:
        self.over: dict[Credential, Ending] = {EVE: "revoked", LATE: "expired"}
        self.asked: list[set[Credential]] = []

    async def ended_among(self, shown: Collection[Credential]) -> dict[Credential, Ending]:
        self.asked.append(set(shown))
        if len(self.asked) == 1:
            raise OSError("the disk is away for a moment")
        return {one: self.over[one] for one in shown if one in self.over}


async def test_only_keys_with_something_under_way_are_looked_for() -> None:
    revocations, keys = Revocations(), Keys()
    watch = asyncio.create_task(revocations.watch(keys, every=0.001))
    with revocations.watched(None), revocations.watched(ANNA) as anna:
        with revocations.watched(EVE) as eve, revocations.watched(LATE) as late:
            await until(lambda: len(keys.asked) > 2)
        for interrupt, why in ((eve, "revoked"), (late, "expired")):
            with pytest.raises(NotAuthenticated, match=why):
                interrupt.enter()
        anna.enter()
        assert keys.asked[1] == {ANNA, EVE, LATE}
    asked = len(keys.asked)
    await until(lambda: not revocations._somebody.is_set())
    assert len(keys.asked) - asked <= 2
    watch.cancel()
