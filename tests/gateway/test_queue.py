"""What a queue does for those who wait, in one process and through Redis alike."""

from __future__ import annotations

import pytest

from appliance.errors import QueueFull, RateLimited
from appliance.gateway.hall import Place
from appliance.gateway.queue import FairQueue
from tests.gateway.guests import Guests, Invite, MakeQueue, settle
from tests.waiting import until

pytestmark = pytest.mark.anyio


async def test_turns_go_round_by_caller_not_by_arrival(
    make_queue: MakeQueue, invite: Invite
) -> None:
    guests = invite(make_queue(slots=1, limit=10))
    for guest in ("anna-1", "anna-2", "anna-3", "ben-1", "carl-1"):
        await guests.come(guest)
    for guest in ("anna-1", "ben-1", "carl-1", "anna-2"):
        await guests.go(guest)
    assert guests.inside == ["anna-1", "ben-1", "carl-1", "anna-2", "anna-3"]


async def test_no_more_than_the_slots_run_at_once(make_queue: MakeQueue, invite: Invite) -> None:
    queue = make_queue(slots=2, limit=10)
    guests = invite(queue)
    for guest in ("a-1", "b-1", "c-1"):
        await guests.come(guest)
    assert (queue.running, queue.waiting) == (2, 1)
    await guests.go("a-1")
    assert (queue.running, queue.waiting) == (2, 0)


async def test_beyond_the_limit_is_refused_at_once_with_a_time_to_come_back(
    make_queue: MakeQueue, invite: Invite
) -> None:
    queue = make_queue(slots=1, limit=1)
    guests = invite(queue)
    await guests.come("a-1")
    await guests.come("b-1")
    with pytest.raises(QueueFull, match="1 requests are already waiting") as caught:
        async with queue.place("c"):
            pass
    assert caught.value.retry_after


async def test_whoever_gives_up_waiting_leaves_no_gap(
    make_queue: MakeQueue, invite: Invite
) -> None:
    queue = make_queue(slots=1, limit=10)
    guests = invite(queue)
    for guest in ("a-1", "b-1", "c-1"):
        await guests.come(guest)
    await guests.give_up("b-1")
    await guests.go("a-1")
    assert guests.inside == ["a-1", "c-1"]
    await guests.go("c-1")
    assert (queue.running, queue.waiting) == (0, 0)


async def test_a_place_handed_over_in_the_moment_of_giving_up_is_not_lost(
    make_queue: MakeQueue, invite: Invite
) -> None:
    queue = make_queue(slots=1, limit=10)
    guests = invite(queue)
    await guests.come("a-1")
    await guests.come("b-1")
    guests.rise("a-1")
    await until(lambda: not queue.waiting)
    await guests.give_up("b-1")
    await guests.come("c-1")
    assert guests.inside[-1] == "c-1"


async def test_a_larger_engine_lets_more_in_and_a_smaller_one_takes_effect_as_they_leave(
    make_queue: MakeQueue, invite: Invite
) -> None:
    queue = make_queue(slots=1, limit=10)
    guests = invite(queue)
    for guest in ("a-1", "b-1", "c-1"):
        await guests.come(guest)
    queue.resize(2)
    await settle(queue)
    assert guests.inside == ["a-1", "b-1"]
    queue.resize(1)
    await guests.go("a-1")
    assert guests.inside == ["a-1", "b-1"]
    await guests.go("b-1")
    assert guests.inside == ["a-1", "b-1", "c-1"]


async def test_one_caller_may_not_fill_the_line(make_queue: MakeQueue, invite: Invite) -> None:
    queue = make_queue(slots=1, limit=10, per_key=2)
    guests = invite(queue)
    for guest in ("a-1", "a-2", "a-3"):
        await guests.come(guest)
    with pytest.raises(RateLimited, match="2 requests of a are already waiting") as caught:
        async with queue.place("a"):
            pass
    assert caught.value.retry_after
    await guests.come("b-1")
    assert queue.waiting == 3


async def test_a_person_at_a_page_goes_before_programs_but_not_for_ever(
    make_queue: MakeQueue, invite: Invite
) -> None:
    guests = invite(make_queue(slots=1, limit=20))
    await guests.come("a-1")
    await guests.come("a-2")
    for name in "bcdef":
        await guests.come(f"{name}-1p")
    order: list[str] = []
    while len(order) < 7:
        order.append(guests.inside[-1])
        await guests.go(order[-1])
    assert order == ["a-1", "b-1p", "c-1p", "d-1p", "a-2", "e-1p", "f-1p"]


async def test_within_a_key_its_page_goes_before_its_programs(
    make_queue: MakeQueue, invite: Invite
) -> None:
    guests = invite(make_queue(slots=1, limit=20))
    for guest in ("a-1", "a-2", "b-1", "a-3p"):
        await guests.come(guest)
    for guest in ("a-1", "b-1"):
        await guests.go(guest)
    assert guests.inside == ["a-1", "b-1", "a-3p"]


async def test_choices_take_a_place_each_and_are_not_passed(
    make_queue: MakeQueue, invite: Invite
) -> None:
    queue = make_queue(slots=2, limit=10)
    guests = invite(queue)
    for guest in ("a-1", "b-1w", "c-1"):
        await guests.come(guest)
    assert (queue.running, guests.inside) == (1, ["a-1"])
    await guests.go("a-1")
    assert (queue.running, guests.inside) == (2, ["a-1", "b-1w"])
    await guests.go("b-1w")
    assert guests.inside[-1] == "c-1"


async def test_more_choices_than_places_take_all_of_them(
    make_queue: MakeQueue, invite: Invite
) -> None:
    queue = make_queue(slots=1, limit=10)
    guests = invite(queue)
    await guests.come("a-1w")
    assert (queue.running, guests.inside) == (1, ["a-1w"])


async def test_the_place_and_about_how_long_are_known() -> None:
    now = 0.0
    queue = FairQueue(slots=1, limit=10, clock=lambda: now)
    guests = Guests(queue)
    await guests.come("a-1")
    await guests.come("b-1")
    assert queue.place_of("b-1", "b") == Place(1, None)
    now = 10.0
    await guests.go("a-1")
    for guest in ("b-2", "c-1"):
        await guests.come(guest)
    now = 14.0
    assert queue.place_of("c-1", "c") == Place(1, 6.0)
    assert queue.place_of("b-2", "b") == Place(2, 16.0)
    assert queue.place_of("b-1", "b") is None
    now = 30.0
    assert queue.place_of("c-1", "c") == Place(1, 2.5)
    await guests.all_leave()
    assert queue.waiting == queue.running == 0
