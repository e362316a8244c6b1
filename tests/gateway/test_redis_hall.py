"""Fronts attend to one hall, on paper: whatever is lost, nobody is forgotten or let in twice."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from appliance.gateway.hall import Bounds, Hall
from appliance.gateway.line import Turn
from appliance.gateway.redis_hall import (
    BEAT_SECONDS,
    LEASE_SECONDS,
    Board,
    Guest,
    Visit,
    attend,
    leave,
    read,
    written,
)

SLOTS = 2
BOUNDS = Bounds(limit=20, per_key=8)
FRONTS = some.sampled_from("AB")
numbers = count()


def guest(front: str, name: str, **wish: object) -> Guest:
    return Guest(Turn(id=f"{front}:{next(numbers)}", front=front, name=name, **wish))  # type: ignore[arg-type]


@dataclass
class Front:
    """One front's own guests, of whom some have been refused."""

    name: str
    guests: dict[str, Guest] = field(default_factory=dict)

    @property
    def inside(self) -> list[str]:
        return [guest_id for guest_id, guest in self.guests.items() if guest.held]

    def come(self, name: str, **wish: object) -> str:
        made = guest(self.name, name, **wish)
        self.guests[made.turn.id] = made
        return made.turn.id


def held(hall: Hall) -> set[str]:
    return {turn.id for turn in hall.turns if hall.holds(turn)}


class Fronts(RuleBasedStateMachine):
    """What is written is a text, as in Redis; it may be lost, and so may an answer of Redis."""

    @initialize()
    def begin(self) -> None:
        self.text: str | None = None
        self.now = self.latest = 1000.0
        self.fronts = {name: Front(name) for name in "AB"}
        self.lives = count(1)

    def board(self) -> Board:
        return Board(Hall(SLOTS)) if self.text is None else read(self.text)

    def visit(self, front: Front, board: Board) -> Visit:
        before = held(board.hall).union(front.inside)
        visit = attend(board, front.name, front.guests.values(), self.now, BOUNDS)
        # Answers that are under way count, whether they fit or not; nobody else comes in then.
        assert held(board.hall) <= before or board.hall.running <= SLOTS
        return visit

    def told(self, front: Front, visit: Visit) -> None:
        visit.tell(front.guests)
        for refused in visit.refused:
            del front.guests[refused]

    @rule(front=FRONTS, name=some.sampled_from("abc"), page=some.booleans(), wide=some.booleans())
    def somebody_comes(self, front: str, name: str, page: bool, wide: bool) -> None:
        self.fronts[front].come(name, interactive=page, places=3 if wide else 1)

    @rule(front=FRONTS, which=some.integers(0, 30))
    def somebody_leaves(self, front: str, which: int) -> None:
        """Inside, waiting, or before the hall has heard of it."""
        if guests := self.fronts[front].guests:
            del guests[list(guests)[which % len(guests)]]

    @rule(front=FRONTS)
    def a_front_attends(self, front: str) -> None:
        one, board = self.fronts[front], self.board()
        visit = self.visit(one, board)
        self.text = written(board)
        self.told(one, visit)
        assert all(guest.known for guest in one.guests.values())
        hall = board.hall
        assert sorted(t.id for t in hall.turns if t.front == one.name) == sorted(one.guests)
        assert held(hall).intersection(one.guests) == set(one.inside)
        following = hall.line.next()
        assert following is None or hall.running + min(following.places, SLOTS) > SLOTS

    @rule(front=FRONTS)
    def another_was_quicker(self, front: str) -> None:
        self.visit(self.fronts[front], self.board())

    @rule(front=FRONTS)
    def the_answer_is_lost(self, front: str) -> None:
        board = self.board()
        self.visit(self.fronts[front], board)
        self.text = written(board)

    @rule(front=FRONTS)
    def redis_is_away(self, front: str) -> None:
        one, board = self.fronts[front], self.board()
        board.seen = {one.name: self.now}
        self.told(one, attend(board, one.name, one.guests.values(), self.now, BOUNDS))

    @rule()
    def redis_forgets(self) -> None:
        self.text = None

    @rule(front=FRONTS)
    def a_front_dies(self, front: str) -> None:
        self.fronts[front] = Front(f"{front}{next(self.lives)}")

    @rule(front=FRONTS)
    def a_front_ends(self, front: str) -> None:
        board = self.board()
        leave(board, self.fronts[front].name, self.now)
        self.text = written(board)
        self.a_front_dies(front)

    @rule(seconds=some.sampled_from([0.1, BEAT_SECONDS, LEASE_SECONDS + 1, -LEASE_SECONDS]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.latest = max(self.latest, self.now)

    def teardown(self) -> None:
        """Everybody has a turn, once those before have left and the dead are buried."""
        if not hasattr(self, "fronts"):
            return
        # Where a clock was put back, the dead are buried that much later.
        self.now = self.latest + LEASE_SECONDS + 1
        for _ in range(2 * sum(len(front.guests) for front in self.fronts.values()) + 2):
            for name, front in self.fronts.items():
                self.a_front_attends(name)
                for one in front.inside:
                    del front.guests[one]
        assert not any(front.guests for front in self.fronts.values())
        for name in self.fronts:
            self.a_front_attends(name)
        hall = self.board().hall
        assert (hall.running, hall.turns) == (0, [])


TestFronts = Fronts.TestCase
TestFronts.settings = settings(max_examples=60, stateful_step_count=40)


def test_a_front_lives_as_long_as_it_attends_and_its_places_no_longer() -> None:
    board, a, b = Board(Hall(1)), Front("A"), Front("B")
    a.come("anna")
    waits = b.come("ben")
    for second in range(0, 20, 2):
        attend(board, "A", a.guests.values(), second, BOUNDS).tell(a.guests)
        attend(board, "B", b.guests.values(), second, BOUNDS).tell(b.guests)
        assert not b.guests[waits].held
    attend(board, "B", b.guests.values(), 18 + LEASE_SECONDS - 0.1, BOUNDS).tell(b.guests)
    assert not b.guests[waits].held
    attend(board, "B", b.guests.values(), 18 + LEASE_SECONDS, BOUNDS).tell(b.guests)
    assert b.guests[waits].held
    # It was only slow: its answer goes on, and nobody else comes in until both fit.
    late = b.come("carl")
    attend(board, "A", a.guests.values(), 30, BOUNDS)
    attend(board, "B", b.guests.values(), 30, BOUNDS).tell(b.guests)
    assert (board.hall.running, b.guests[late].held) == (2, None)


def test_whoever_had_a_place_while_redis_was_away_does_not_wait_afterwards() -> None:
    board, a, b = Board(Hall(1)), Front("A"), Front("B")
    a.come("anna")
    alone = b.come("ben")
    for front in (a, b):
        attend(board, front.name, front.guests.values(), 100, BOUNDS).tell(front.guests)
    own = Board(Hall(1), {"B": 101})
    attend(own, "B", b.guests.values(), 101, BOUNDS).tell(b.guests)
    assert b.inside == [alone]
    attend(board, "B", b.guests.values(), 102, BOUNDS)
    assert (board.hall.running, len(board.hall.line)) == (2, 0)


def test_a_clock_that_is_behind_keeps_no_dead_front_alive() -> None:
    board, a = Board(Hall(1)), Front("A")
    a.come("anna")
    attend(board, "A", a.guests.values(), 5000, BOUNDS)
    attend(board, "B", [], 100, BOUNDS)
    assert (board.hall.running, list(board.seen)) == (0, ["B"])


def test_what_is_written_is_read_as_it_was() -> None:
    board = Board(Hall(1))
    guests = [guest("A", "anna", places=2), guest("A", "ben", interactive=True, ticket="t")]
    attend(board, "A", guests, 10.0, BOUNDS)
    board.hall.durations.add(3.5)
    again = read(written(board))
    assert written(again) == written(board)
    assert [turn.ticket for turn in again.hall.line] == ["t"]
    assert again.hall.durations.mean == 3.5


@pytest.mark.parametrize("strange", ["", "{}", "[]", "null", '{"slots": 1}', "\x00"])
def test_what_is_not_ours_is_refused(strange: str) -> None:
    with pytest.raises((ValueError, TypeError, KeyError, AttributeError)):
        read(strange)
