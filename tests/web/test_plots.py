"""Geometry of the server-drawn plots."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.web.plots import HEIGHT, LEFT, WIDTH, bar_plot, line_plot, timeline

values = st.lists(st.just(0.0) | st.floats(0.001, 1e9), min_size=1, max_size=60)


@given(values)
def test_bars_stay_inside_the_frame(series: list[float]) -> None:
    for bar in bar_plot(series).bars:
        assert bar.x >= LEFT
        assert bar.x + bar.width <= WIDTH
        assert bar.y >= 0
        assert bar.y + bar.height <= HEIGHT


@given(values)
def test_the_axis_reaches_the_highest_value_in_round_steps(series: list[float]) -> None:
    ticks = [tick.value for tick in bar_plot(series).ticks]
    assert ticks[0] == 0
    assert ticks == sorted(ticks)
    assert len(ticks) <= 4
    assert ticks[-1] >= max(series) * (1 - 1e-6) or ticks == [0.0]


def test_a_bar_is_as_tall_as_its_value() -> None:
    half, whole = bar_plot([5, 10]).bars
    assert whole.height == pytest.approx(2 * half.height, abs=0.02)
    assert half.x < whole.x


def test_nothing_measured_draws_an_empty_frame() -> None:
    plot = bar_plot([0, 0])
    assert plot.bars == ()
    assert [tick.value for tick in plot.ticks] == [0.0]
    assert line_plot([[None, None]]).lines == ("",)


def test_a_minute_without_answers_is_a_gap_in_the_line() -> None:
    plot = line_plot([[100.0, 200.0, None, 50.0]])
    strokes = [stroke.split("L") for stroke in plot.lines[0].split("M") if stroke]
    assert [len(points) for points in strokes] == [2, 1]
    assert plot.dots[0].count("h0") == 3


def test_timeline_shares_add_up() -> None:
    spans = timeline(100, 400, 1000)
    assert [(s.name, s.start, s.width, s.ms) for s in spans] == [
        ("queue", 0, 10, 100),
        ("prefill", 10, 30, 300),
        ("decode", 40, 60, 600),
    ]


def test_a_request_that_died_before_its_first_token_has_no_decode() -> None:
    assert [s.name for s in timeline(20, None, 80)] == ["queue", "prefill"]


def test_a_request_that_took_no_time_has_no_timeline() -> None:
    assert timeline(0, None, 0) == ()
