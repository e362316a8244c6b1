"""Secrets of sessions in a ledger on a server: made once, renewed once, ended for all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from appliance.signing import DAY_SECONDS
from appliance.signing_shared import SharedSecrets
from tests.ledger.support import Cluster, Ledger

pytestmark = [pytest.mark.anyio, pytest.mark.postgresql]


class Clock:
    day = 0

    def __call__(self) -> float:
        return self.day * DAY_SECONDS


@pytest.fixture
def ledgers(server: Cluster) -> Iterator[tuple[Ledger, Ledger]]:
    url = server.emptied()
    both = Ledger(url), Ledger(url)
    yield both
    for ledger in both:
        ledger.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def both(ledgers: tuple[Ledger, Ledger], clock: Clock) -> tuple[SharedSecrets, SharedSecrets]:
    first, second = (SharedSecrets(one.database, one.writer, clock) for one in ledgers)
    return first, second


async def test_who_starts_at_once_signs_with_one_secret(
    both: tuple[SharedSecrets, SharedSecrets],
) -> None:
    first, second = await asyncio.gather(*(asyncio.to_thread(one) for one in both))
    assert first == second
    assert len(first) == 1
    assert len(first[0]) >= 40


async def test_a_session_that_one_ends_is_ended_for_the_other(
    both: tuple[SharedSecrets, SharedSecrets],
) -> None:
    first, second = both
    before = second()
    await asyncio.to_thread(first.replace)
    await second.look()
    assert set(before).isdisjoint(second())
    assert second() == first()


async def test_a_new_one_is_made_once_and_the_old_believed_as_long_as_sessions_live(
    both: tuple[SharedSecrets, SharedSecrets], clock: Clock
) -> None:
    (old,) = both[0]()
    clock.day = 31
    await asyncio.gather(*(one.look() for one in both))
    assert both[0]() == both[1]()
    assert [len(both[0]()), both[0]()[0]] == [2, old]
    clock.day = 62
    await both[0].look()
    assert old not in both[0]()
