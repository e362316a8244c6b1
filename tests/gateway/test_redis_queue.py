"""Several fronts, one queue in a real Redis: fair, and whole again after every loss."""

from __future__ import annotations

import asyncio
import random
import secrets
import sys
import time
from functools import partial

import pytest
from redis.asyncio import Redis

from appliance.gateway import redis_hall, redis_queue
from appliance.gateway.redis_queue import PREFIX
from tests.gateway.conftest import Fronts
from tests.gateway.guests import Invite, MakeQueue, settle
from tests.live import ROOT
from tests.servers import RedisServer
from tests.waiting import until

pytestmark = pytest.mark.anyio


@pytest.fixture
def scope() -> str:
    return secrets.token_hex(4)


@pytest.fixture
def open_front(redis: RedisServer, fronts: Fronts, scope: str) -> MakeQueue:
    return partial(fronts.open, redis, scope, limit=100)


async def test_fifty_requests_at_one_front_delay_anothers_single_one_by_one_turn(
    open_front: MakeQueue, invite: Invite
) -> None:
    one, two = open_front(slots=1), open_front(slots=1)
    here, there = invite(one), invite(two)
    for number in range(50):
        await here.come(f"anna-{number}")
    await there.come("ben-0")
    assert two.place_of("ben-0", "ben")
    await here.go("anna-0")
    await settle(two, one)
    assert (there.inside, here.inside) == (["ben-0"], ["anna-0"])
    await there.go("ben-0")
    await settle(one)
    assert here.inside == ["anna-0", "anna-1"]


async def test_every_front_tells_of_everybody(open_front: MakeQueue, invite: Invite) -> None:
    one, two = open_front(slots=1), open_front(slots=1)
    here, there = invite(one), invite(two)
    await here.come("anna-1")
    await here.come("anna-2")
    await there.come("ben-1p")
    for queue in (one, two):
        await queue.look()
        assert (queue.slots, queue.running, queue.waiting) == (1, 1, 2)
        assert [held.turn.ticket for held in queue.held] == ["anna-1"]
        assert [turn.ticket for turn, _ in queue.line()] == ["ben-1p", "anna-2"]
        waits = queue.place_of("anna-2", "anna")
        assert waits is not None
        assert waits.position == 2
        assert 0 <= queue.now() - queue.held[0].since < 60


async def test_one_front_resizes_for_all(open_front: MakeQueue, invite: Invite) -> None:
    one, two = open_front(slots=1), open_front(slots=7)
    here, there = invite(one), invite(two)
    await here.come("anna-1")
    await there.come("ben-1")
    assert there.inside == []
    one.resize(2)
    await settle(one, two)
    assert there.inside == ["ben-1"]
    assert (one.slots, two.slots) == (2, 2)


async def test_the_line_is_bounded_over_all_fronts(open_front: MakeQueue, invite: Invite) -> None:
    one, two = open_front(slots=1, per_key=2), open_front(slots=1, per_key=2)
    here = invite(one)
    for number in range(3):
        await here.come(f"anna-{number}")
    with pytest.raises(Exception, match="2 requests of anna are already waiting"):
        async with two.place("anna"):
            pass


async def test_other_engines_have_other_queues(
    redis: RedisServer, fronts: Fronts, invite: Invite
) -> None:
    one, two = (invite(fronts.open(redis, scope, slots=1, limit=9)) for scope in ("e1", "e2"))
    await one.come("anna-1")
    await two.come("ben-1")
    assert (one.inside, two.inside) == (["anna-1"], ["ben-1"])


async def test_a_front_that_ends_leaves_at_once(
    open_front: MakeQueue, fronts: Fronts, invite: Invite
) -> None:
    one, two = open_front(slots=1), open_front(slots=1)
    here, there = invite(one), invite(two)
    await here.come("anna-1")
    await there.come("ben-1")
    await fronts.close(one)
    await until(lambda: there.inside == ["ben-1"])


@pytest.fixture
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (redis_hall, redis_queue):
        monkeypatch.setattr(module, "BEAT_SECONDS", 0.2)
    monkeypatch.setattr(redis_hall, "LEASE_SECONDS", 3.0)


@pytest.mark.usefixtures("short_leases")
async def test_what_a_killed_front_held_is_free_again(
    redis: RedisServer, scope: str, open_front: MakeQueue, invite: Invite
) -> None:
    command = [sys.executable, "-m", "tests.gateway.front_process", redis.url, scope, "0.2"]
    other = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    assert other.stdout is not None
    assert await other.stdout.readline() == b"inside\n"
    queue = open_front(slots=1)
    here = invite(queue)
    await here.come("ben-1")
    assert [held.turn.ticket for held in queue.held] == ["theirs"]
    assert here.inside == []
    other.kill()
    killed = time.monotonic()
    await other.wait()
    await until(lambda: here.inside == ["ben-1"], 30)
    assert time.monotonic() - killed < 10


async def test_nothing_is_lost_by_cancelling_in_any_moment(open_front: MakeQueue) -> None:
    fronts = open_front(slots=2), open_front(slots=2)
    chance = random.Random(7)  # noqa: S311 - the same each time
    inside = most = came = 0

    async def guest(number: int) -> None:
        nonlocal inside, most, came
        async with fronts[number % 2].place(f"guest-{number % 5}", places=1 + number % 2):
            inside += 1 + number % 2
            most, came = max(most, inside), came + 1
            try:
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)
            finally:  # some are cancelled in here
                inside -= 1 + number % 2

    tasks = [asyncio.create_task(guest(number)) for number in range(80)]
    for task in tasks[::3]:
        for _ in range(chance.randrange(12)):
            await asyncio.sleep(0)
        task.cancel()
    async with asyncio.timeout(30):
        await asyncio.gather(*tasks, return_exceptions=True)
    # The first one looks again, once the second has taken out its own.
    await settle(*fronts, *fronts)
    assert most == 2
    assert came >= 80 - len(tasks[::3])
    assert [(queue.running, queue.waiting) for queue in fronts] == [(0, 0)] * 2


async def test_what_is_not_ours_is_begun_anew(
    redis: RedisServer, scope: str, open_front: MakeQueue, invite: Invite
) -> None:
    queue = open_front(slots=1)
    here = invite(queue)
    await here.come("anna-1")
    async with Redis(port=redis.port) as client:
        await client.hset(PREFIX + scope, "text", b"\xff")
    await here.come("ben-1")
    assert (queue.running, queue.waiting, here.inside) == (1, 1, ["anna-1"])
