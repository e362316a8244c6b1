"""Figures of a selection for its charts: by hour or day, and by key. Bounded: the newest only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Select, cast, extract, func
from sqlmodel import Session, col

from appliance.ledger.filters import Selection, conditions, within
from appliance.ledger.statistics import percentile
from appliance.ledger.tables import GenerationStored, RequestRecord
from appliance.ledger.ways import best_way, indexed, unindexed

MOST_ROWS = 20_000
MOST_KEYS = 12


class _Row(NamedTuple):
    second: int
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

    `complete` is false when there are more candidates than are looked at; the slots begin with the
    oldest of these.
    """

    step: timedelta
    slots: tuple[tuple[datetime, Figures], ...]
    by_key: tuple[tuple[str, Figures], ...]
    whole: Figures
    complete: bool


def charts(session: Session, chosen: Selection, since: datetime, step: timedelta) -> Charts:
    """Figures of the selection since a moment, in steps of an hour or a day of local time."""
    way, _ = best_way(session, chosen, None)
    candidates = way(None, MOST_ROWS + 1).subquery()
    looked: Any = Select(func.count(), func.min(candidates.c[0])).select_from(candidates)
    count, oldest = session.execute(looked).one()
    complete = count <= MOST_ROWS
    rows = _rows(session, chosen, oldest) if count else []
    return Charts(
        step=step,
        slots=_slots(
            rows,
            since if complete else max(since, _moment(session, oldest)),
            chosen.until or datetime.now(UTC),
            step,
        ),
        by_key=_by_key(rows),
        whole=_figures(rows),
        complete=complete,
    )


def _rows(session: Session, chosen: Selection, oldest: str) -> Sequence[_Row]:
    """The generations of the selection in requests from the id `oldest` on."""
    request, generation = col(RequestRecord.id), col(GenerationStored.request_id)
    query: Any = (
        Select(
            # Since 1970: twenty thousand moments take longer to read than all else.
            cast(extract("epoch", col(RequestRecord.created_at)), BigInteger),
            col(RequestRecord.key_name),
            col(GenerationStored.prompt_tokens),
            col(GenerationStored.completion_tokens),
            col(GenerationStored.ttft_ms),
            col(GenerationStored.duration_ms),
        )
        .join(GenerationStored, generation == request)
        # Of both, so that each is read in one go; and by any index that there is.
        .where(request >= oldest, generation >= oldest)
        .where(*within(request, replace(chosen, since=None), None))
        .where(*indexed(chosen), *conditions(unindexed(chosen)))
    )
    return [_Row(*row) for row in session.connection().execute(query).all()]


def _moment(session: Session, request_id: str) -> datetime:
    query: Any = Select(col(RequestRecord.created_at)).where(col(RequestRecord.id) == request_id)
    found: datetime = session.execute(query).scalar_one()
    return found


def _slots(
    rows: Sequence[_Row], since: datetime, until: datetime, step: timedelta
) -> tuple[tuple[datetime, Figures], ...]:
    first = _floor(since, step)
    begin, seconds = int(first.timestamp()), int(step.total_seconds())
    sorted_in = defaultdict[int, list[_Row]](list)
    for row in rows:
        sorted_in[(row.second - begin) // seconds].append(row)
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
    # Sorted once, and again quickly for each percentile.
    first = sorted(row.ttft_ms for row in rows if row.ttft_ms is not None)
    total = sorted(row.duration_ms for row in rows if row.duration_ms is not None)
    return Figures(
        requests=len(rows),
        prompt_tokens=sum(row.prompt_tokens or 0 for row in rows),
        completion_tokens=sum(row.completion_tokens or 0 for row in rows),
        ttft_p50=percentile(first, 0.50),
        ttft_p95=percentile(first, 0.95),
        total_p50=percentile(total, 0.50),
        total_p95=percentile(total, 0.95),
    )
