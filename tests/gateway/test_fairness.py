"""A simulated day at the queue: whatever comes, nobody suffers from another's many wishes."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as some

from appliance.gateway.line import PAGES_IN_A_ROW, Line, Turn

# One place, and every answer takes one tick: a wait in ticks is a number of answers.
Arrivals = list[tuple[int, str, bool]]
arrivals = some.lists(
    some.tuples(some.integers(0, 40), some.sampled_from("abcde"), some.booleans()), max_size=60
)


@dataclass(frozen=True)
class Served:
    turn: Turn
    came: float
    began: float


def day(coming: Arrivals) -> list[Served]:
    """Everybody who comes is served one after the other, a tick each."""
    line, events = Line(), sorted(coming)
    came: dict[Turn, float] = {}
    served: list[Served] = []
    now, running = 0.0, ""
    while events or len(line):
        if not len(line):
            now = max(now, float(events[0][0]))
        while events and events[0][0] <= now:
            at, name, interactive = heapq.heappop(events)
            alone = not line.waiting_of(name) and not (running == name and at < now)
            turn = Turn(name=name, interactive=interactive, alone=alone)
            line.join(turn)
            came[turn] = float(at)
        chosen = line.next()
        assert chosen is not None
        line.take(chosen)
        served.append(Served(chosen, came[chosen], now))
        running, now = chosen.name, now + 1
    return served


@given(arrivals)
@settings(max_examples=150)
def test_everybody_has_a_turn_and_a_keys_own_order_is_kept(coming: Arrivals) -> None:
    served = day(coming)
    assert len(served) == len(coming)
    for name in "abcde":
        for kind in (True, False):
            numbers = [
                s.turn.number for s in served if (s.turn.name, s.turn.interactive) == (name, kind)
            ]
            assert numbers == sorted(numbers)


@given(arrivals, some.integers(0, 30), some.booleans(), some.booleans())
@settings(max_examples=150)
def test_fifty_wishes_of_one_key_delay_a_single_one_by_no_more_than_one_answer(
    others: Arrivals, at: int, noise_is_a_page: bool, single_is_a_page: bool
) -> None:
    noise = [(0, "noisy", noise_is_a_page)] * 50
    single = [(at, "single", single_is_a_page)]
    served = day(others + single + noise)
    mine = next(s for s in served if s.turn.name == "single")
    meanwhile = [s for s in served if at - 1 < s.began < mine.began]
    noisy = sum(s.turn.name == "noisy" for s in meanwhile)
    pages = sum(s.turn.interactive and s.turn.name != "noisy" for s in meanwhile)
    # So that programs never starve, one of them has a turn after so many pages.
    assert noisy <= 1 + pages // PAGES_IN_A_ROW


@given(some.integers(1, 20), some.integers(1, 5))
def test_however_many_people_come_a_program_has_its_turn(people: int, programs: int) -> None:
    coming = [(0, f"person-{n}", True) for n in range(people * 4)]
    coming += [(0, "program", False)] * programs
    kinds = [s.turn.interactive for s in day(coming)]
    first = kinds.index(False)
    assert first <= PAGES_IN_A_ROW
