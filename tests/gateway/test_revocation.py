"""An interrupted generator raises where it waits, and nobody else notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection

import pytest

from appliance.errors import NotAuthenticated
from appliance.gateway.revocation import Interrupt, Revocations
from appliance.ledger.tables_keys import KeyState
from tests.waiting import until

pytestmark = pytest.mark.anyio
REVOKED = NotAuthenticated("revoked")


async def waiting_for_ever(interrupt: Interrupt) -> AsyncGenerator[int, None]:
    try:
        interrupt.leave()
        yield 1
        interrupt.enter()
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        if error := interrupt.caught():
            raise error from None
        raise


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
    """Says which keys are over; its first answer is an error."""

    def __init__(self) -> None:
        self.over: dict[str, KeyState] = {"eve": "revoked", "late": "expired"}
        self.asked: list[list[str]] = []

    async def ended_among(self, key_ids: Collection[str]) -> dict[str, KeyState]:
        self.asked.append(sorted(key_ids))
        if len(self.asked) == 1:
            raise OSError("the disk is away for a moment")
        return {key_id: self.over[key_id] for key_id in key_ids if key_id in self.over}


async def test_only_keys_with_something_under_way_are_looked_for() -> None:
    revocations, keys = Revocations(), Keys()
    watch = asyncio.create_task(revocations.watch(keys, every=0.001))
    with revocations.watched(None), revocations.watched("anna") as anna:
        with revocations.watched("eve") as eve, revocations.watched("late") as late:
            await until(lambda: len(keys.asked) > 2)
        for interrupt, why in ((eve, "revoked"), (late, "expired")):
            with pytest.raises(NotAuthenticated, match=why):
                interrupt.enter()
        anna.enter()
        assert keys.asked[1] == ["anna", "eve", "late"]
    asked = len(keys.asked)
    await until(lambda: not revocations._somebody.is_set())
    assert len(keys.asked) - asked <= 2
    watch.cancel()
