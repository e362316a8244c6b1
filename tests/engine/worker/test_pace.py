"""Tokens leave together; nobody waits for the first and the last."""

from __future__ import annotations

from appliance.engine.worker.backends.base import Step, TokenStream
from appliance.engine.worker.backends.pace import PIECE_SECONDS, PIECES_A_SECOND, Pace
from tests.engine.worker.playing import ask


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def word(token: int = 1) -> Step:
    return Step([token], None)


def test_tokens_wait_for_each_other_a_little() -> None:
    clock = Clock()
    pace, one, two = Pace(clock), TokenStream(ask([1])), TokenStream(ask([1]))
    first = [(one, word()), (two, word())]
    assert pace.ready(first) == first
    clock.now += PIECE_SECONDS / 2
    assert pace.ready([(one, word(2)), (two, word(3))]) is None
    clock.now += PIECE_SECONDS / 2
    together = [(one, word(2)), (two, word(3)), (one, word(4))]
    assert pace.ready([(one, word(4))]) == together


def test_the_first_the_last_and_failures_take_everything_along() -> None:
    pace, one = Pace(Clock()), TokenStream(ask([1]))
    pace.ready([(one, word())])
    for urgent in (Step([], "stop"), Step([7], "length"), "it failed"):
        assert pace.ready([(one, word())]) is None
        assert pace.ready([(one, urgent)]) == [(one, word()), (one, urgent)]
    other = TokenStream(ask([1]))
    assert pace.ready([(one, word())]) is None
    assert pace.ready([(other, word())]) == [(one, word()), (other, word())]


def test_the_loop_has_its_turn_while_only_prompts_are_read() -> None:
    clock = Clock()
    pace = Pace(clock)
    clock.now += PIECE_SECONDS
    assert pace.ready([]) == []
    assert pace.ready([]) is None


def test_many_streams_share_what_is_carried_a_second() -> None:
    clock = Clock()
    pace, streams = Pace(clock), [TokenStream(ask([1])) for _ in range(20)]
    step = [(stream, word()) for stream in streams]
    assert pace.ready(step) == step
    clock.now += PIECE_SECONDS
    assert pace.ready(step) is None
    clock.now += len(streams) / PIECES_A_SECOND - PIECE_SECONDS
    assert pace.ready(step) == step * 2
