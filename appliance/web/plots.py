"""Geometry of the plots that the server draws as SVG: numbers in, coordinates out.

Colours, words and markup are the template's. A plot is 360 × 150 units, about one unit a CSS
pixel, so that its labels keep their size on a phone and on a wide screen alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

WIDTH, HEIGHT = 360.0, 150.0
LEFT, RIGHT, TOP, BOTTOM = 40.0, 4.0, 8.0, 20.0


@dataclass(frozen=True, slots=True)
class Rect:
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Tick:
    """A label and where its line stands on the axis it belongs to."""

    at: float
    value: float


@dataclass(frozen=True, slots=True)
class Plot:
    """`bars`, or a path for the line and one for the dots of each series; `ticks` go upwards."""

    ticks: tuple[Tick, ...]
    bars: tuple[Rect, ...] = ()
    lines: tuple[str, ...] = ()
    dots: tuple[str, ...] = ()
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    right: float = WIDTH - RIGHT
    base: float = HEIGHT - BOTTOM


def bar_plot(values: Sequence[float]) -> Plot:
    """One bar a value, evenly spread, from a zero base; a value of zero draws no bar."""
    top, ticks = _scale(max(values, default=0))
    slot = (WIDTH - LEFT - RIGHT) / max(1, len(values))
    bars = tuple(
        Rect(_round(LEFT + i * slot + slot * 0.1), _y(v, top), _round(slot * 0.8), _height(v, top))
        for i, v in enumerate(values)
        if v > 0
    )
    return Plot(ticks, bars=bars)


def line_plot(series: Sequence[Sequence[float | None]]) -> Plot:
    """One line a series. None is a gap: a minute without an answer has no latency."""
    known = [v for values in series for v in values if v is not None]
    top, ticks = _scale(max(known, default=0))
    drawn = [_points(values, top) for values in series]
    return Plot(ticks, lines=tuple(map(_line, drawn)), dots=tuple(map(_dots, drawn)))


def _points(values: Sequence[float | None], top: float) -> list[str | None]:
    slot = (WIDTH - LEFT - RIGHT) / max(1, len(values))
    return [
        None if v is None else f"{_round(LEFT + (i + 0.5) * slot):g} {_y(v, top):g}"
        for i, v in enumerate(values)
    ]


def _line(points: Sequence[str | None]) -> str:
    """One stroke for each unbroken stretch of points."""
    stretches = groupby(points, key=lambda point: point is None)
    return "".join("M" + "L".join(filter(None, run)) for is_gap, run in stretches if not is_gap)


def _dots(points: Sequence[str | None]) -> str:
    """Strokes of no length, which round caps make dots: a lone minute is then seen too."""
    return "".join(f"M{point}h0" for point in points if point)


def _scale(highest: float) -> tuple[float, tuple[Tick, ...]]:
    """The axis end, a round number at or above `highest`, and its ticks (zero, …, end)."""
    if highest <= 0:
        return 1.0, (Tick(_y(0, 1), 0.0),)
    step = _round_step(highest / 3)
    count = math.ceil(highest / step - 1e-9)
    top = step * count
    return top, tuple(Tick(_y(step * i, top), round(step * i, 10)) for i in range(count + 1))


def _round_step(rough: float) -> float:
    magnitude: float = 10.0 ** math.floor(math.log10(rough))
    return next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= rough * (1 - 1e-9))


def _y(value: float, top: float) -> float:
    return _round(HEIGHT - BOTTOM - value / top * (HEIGHT - BOTTOM - TOP))


def _height(value: float, top: float) -> float:
    return _round(value / top * (HEIGHT - BOTTOM - TOP))


def _round(value: float) -> float:
    return round(value, 2)


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a request's life: `name` is queue, prefill or decode; both in percent."""

    name: str
    start: float
    width: float
    ms: float


def timeline(queue_ms: float, ttft_ms: float | None, duration_ms: float) -> tuple[Span, ...]:
    """Waiting, reading the prompt, writing the answer, as shares of the whole.

    Without a first token everything after the queue is prefill: that is where it ended.
    """
    total = max(duration_ms, ttft_ms or 0.0, queue_ms)
    if total <= 0:
        return ()
    first = total if ttft_ms is None else max(ttft_ms, queue_ms)
    edges = [("queue", 0.0, queue_ms), ("prefill", queue_ms, first), ("decode", first, total)]
    return tuple(
        Span(name, _round(start / total * 100), _round((end - start) / total * 100), end - start)
        for name, start, end in edges
        if end > start
    )
