"""The simulation against what can be worked out by hand, and against queueing theory."""

from __future__ import annotations

import random
from statistics import mean

import pytest

from bench.simulate import Asked, Curve, people, percentile, row, simulate


def test_a_curve_is_straight_between_its_points() -> None:
    curve = Curve.read("4:200,1:50,8:300")
    speeds = [curve.speed(streams) for streams in (1, 2, 4, 6, 8, 99)]
    assert speeds == [50, 100, 200, 250, 300, 300]
    assert Curve.read("4:200").speed(1) == 50


def test_streams_share_an_engine_and_one_waits() -> None:
    """Two places, ten tokens a second together: worked out with a pencil."""
    asked = [Asked(0, "a", 10), Asked(0, "b", 20), Asked(1, "c", 10)]
    done = simulate(asked, Curve.read("1:10"), places=2)
    ended = {one.user: (one.began, one.ended) for one in done}
    assert ended["a"] == pytest.approx((0, 2))
    assert ended["c"] == pytest.approx((2, 4))
    assert ended["b"] == pytest.approx((0, 4))


def test_turns_go_round_by_user() -> None:
    """Who has asked ten times delays somebody else by one answer, not by ten."""
    many = [Asked(0, "many", 10) for _ in range(10)]
    done = simulate([*many, Asked(0.5, "one", 10)], Curve.read("1:10"), places=1)
    (single,) = [one for one in done if one.user == "one"]
    assert single.began == pytest.approx(1)


def test_one_place_is_the_queue_of_the_textbooks() -> None:
    """M/M/1 at 70 %: the mean wait is load / (1 - load) of an answer."""
    chance = random.Random(3)  # noqa: S311 - a load, not a secret
    asked, at = [], 0.0
    for number in range(10_000):
        at += chance.expovariate(0.7)
        asked.append(Asked(at, str(number), chance.expovariate(1)))
    done = simulate(asked, Curve.read("1:1"), places=1)
    assert mean(one.wait for one in done) == pytest.approx(0.7 / 0.3, rel=0.15)


def test_more_people_wait_longer_and_nothing_is_lost() -> None:
    curve = Curve.read("1:50,4:105,16:205")
    how = {"tokens": 300.0, "pause": 60.0, "seconds": 1800.0}
    few, many = (people(users, curve, 4, **how, seed=1) for users in (5, 60))
    for done in (few, many):
        assert all(one.at <= one.began <= one.ended for one in done)
    assert percentile([o.wait for o in few], 0.95) < percentile([o.wait for o in many], 0.5)
    assert row(60, many, 4)[0] == "60"
    assert float(row(60, many, 4)[-1].rstrip("%")) > 90
