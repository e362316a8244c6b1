"""Tallies as the metric families of Prometheus' own library."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, TypeVar

from appliance.observability.tally import Counter, Histogram

if TYPE_CHECKING:
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
    )

T = TypeVar("T")
Labels = Mapping[str, str]
Rows = Sequence[tuple[Labels, T]]
Wanted = Callable[[Labels], Labels | None]
"""The labels under which a series is shown, or None for a series that is left out."""


def unchanged(labels: Labels) -> Labels:
    return labels


def histogram(
    tally: Histogram, name: str | None = None, shown: Wanted = unchanged
) -> HistogramMetricFamily:
    """`tally`, perhaps under another name, with the labels that `shown` makes of its own."""
    from prometheus_client.core import HistogramMetricFamily

    rows = _rows(tally.labels, tally.series(), shown)
    bounds = [*map(_number, tally.bounds), "+Inf"]
    family = HistogramMetricFamily(name or tally.name, tally.help, labels=_names(rows))
    for labels, seen in rows:
        counts = zip(bounds, accumulate(seen.counts), strict=True)
        family.add_metric(list(labels.values()), buckets=list(counts), sum_value=seen.sum)
    return family


def counter(tally: Counter) -> CounterMetricFamily:
    return sums(tally.name, tally.help, _rows(tally.labels, tally.series(), unchanged))


def sums(name: str, help_text: str, rows: Rows[float]) -> CounterMetricFamily:
    """A counter, from its label sets and sums."""
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(name, help_text, labels=_names(rows))
    for labels, value in rows:
        family.add_metric(list(labels.values()), value)
    return family


def gauge(name: str, help_text: str, rows: Rows[float]) -> GaugeMetricFamily:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(name, help_text, labels=_names(rows))
    for labels, value in rows:
        family.add_metric(list(labels.values()), value)
    return family


def _rows(
    names: Sequence[str], series: Sequence[tuple[tuple[str, ...], T]], shown: Wanted
) -> Rows[T]:
    found = ((shown(dict(zip(names, values, strict=True))), value) for values, value in series)
    return [(labels, value) for labels, value in found if labels is not None]


def _names(rows: Rows[T]) -> list[str]:
    """All series of a family have the same labels."""
    return list(rows[0][0]) if rows else []


def _number(bound: float) -> str:
    """`1.0`, as Prometheus' clients write bounds, so that boards find the bucket they name."""
    return repr(float(bound))
