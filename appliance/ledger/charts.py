"""Figures of a selection for its charts: by hour or day, and by key. Bounded: the newest only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Select
from sqlmodel import Session, col

from appliance.ledger.filters import Selection, conditions, within
from appliance.ledger.statistics import percentile
from appliance.ledger.tables import GenerationStored, RequestRecord

MOST_ROWS = 20_000
MOST_KEYS = 12


class _Row(NamedTuple):
    created_at: datetime
    key_name: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    ttft_ms: float | None
    duration_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Of the generations in one stretch of time, or of one key. Latencies in ms, None: unknown."""

    requests: int
    prompt_tokens: int
    completion_tokens: int
    ttft_p50: float | None
    ttft_p95: float | None
    total_p50: float | None
    total_p95: float | None


@dataclass(frozen=True, slots=True)
class Charts:
    """`slots` from the oldest to the newest, none left out, each with its first moment.

    `complete` is false when the selection has more rows than are counted.
    """

    step: timedelta
    slots: tuple[tuple[datetime, Figures], ...]
    by_key: tuple[tuple[str, Figures], ...]
    whole: Figures
    complete: bool


def charts(session: Session, chosen: Selection, since: datetime, step: timedelta) -> Charts:
    """Figures of the selection since a moment, in steps of an hour or a day of local time."""
    query: Any = (
        Select(
            col(RequestRecord.created_at),
            col(RequestRecord.key_name),
            col(GenerationStored.prompt_tokens),
            col(GenerationStored.completion_tokens),
            col(GenerationStored.ttft_ms),
            col(GenerationStored.duration_ms),
        )
        .join(GenerationStored, col(GenerationStored.request_id) == RequestRecord.id)
        .where(*within(col(RequestRecord.id), chosen, None), *conditions(chosen))
        .order_by(col(RequestRecord.id).desc())
        .limit(MOST_ROWS + 1)
    )
    rows = [_Row(*row) for row in session.execute(query)]
    counted = rows[:MOST_ROWS]
    complete = len(rows) <= MOST_ROWS
    start = since if complete else max(since, counted[-1].created_at)
    return Charts(
        step=step,
        slots=_slots(counted, start, chosen.until or datetime.now(UTC), step),
        by_key=_by_key(counted),
        whole=_figures(counted),
        complete=complete,
    )


def _slots(
    rows: Sequence[_Row], since: datetime, until: datetime, step: timedelta
) -> tuple[tuple[datetime, Figures], ...]:
    first = _floor(since, step)
    sorted_in = defaultdict[int, list[_Row]](list)
    for row in rows:
        sorted_in[int((row.created_at - first) / step)].append(row)
    count = max(1, int((until - first) / step) + 1)
    return tuple((first + n * step, _figures(sorted_in[n])) for n in range(count))


def _floor(moment: datetime, step: timedelta) -> datetime:
    """The beginning of the hour or of the day that people at this machine live in."""
    local = moment.astimezone().replace(minute=0, second=0, microsecond=0)
    return local if step < timedelta(days=1) else local.replace(hour=0)


def _by_key(rows: Sequence[_Row]) -> tuple[tuple[str, Figures], ...]:
    sorted_in = defaultdict[str, list[_Row]](list)
    for row in rows:
        sorted_in[row.key_name or ""].append(row)
    busiest = sorted(sorted_in.items(), key=lambda found: -len(found[1]))[:MOST_KEYS]
    return tuple((name, _figures(found)) for name, found in busiest)


def _figures(rows: Sequence[_Row]) -> Figures:
    first = [row.ttft_ms for row in rows if row.ttft_ms is not None]
    total = [row.duration_ms for row in rows if row.duration_ms is not None]
    return Figures(
        requests=len(rows),
        prompt_tokens=sum(row.prompt_tokens or 0 for row in rows),
        completion_tokens=sum(row.completion_tokens or 0 for row in rows),
        ttft_p50=percentile(first, 0.50),
        ttft_p95=percentile(first, 0.95),
        total_p50=percentile(total, 0.50),
        total_p95=percentile(total, 0.95),
    )
