"""Figures over many requests: minute by minute, and all of them together."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Select, func
from sqlmodel import Session, col, select

from appliance.ledger.interrupted import INTERRUPTED
from appliance.ledger.tables import GenerationStored, RequestRecord
from appliance.ledger.views import MinuteBucket, Totals

_FAILED = ("error", INTERRUPTED)


def generations_since(start: datetime) -> Select[datetime, int | None, float | None]:
    """Arrival, completion tokens and duration (ms) of each generation since `start`."""
    return (
        select(
            RequestRecord.created_at,
            GenerationStored.completion_tokens,
            GenerationStored.duration_ms,
        )
        .join(GenerationStored, col(GenerationStored.request_id) == RequestRecord.id)
        .where(RequestRecord.created_at >= start)
    )


def by_minute(
    rows: Sequence[tuple[datetime, int | None, float | None]], minutes: Sequence[datetime]
) -> list[MinuteBucket]:
    """Sorts what `generations_since` found into `minutes`, empty ones included."""
    requests, tokens = defaultdict[datetime, int](int), defaultdict[datetime, int](int)
    durations = defaultdict[datetime, list[float]](list)
    for created_at, completion_tokens, duration_ms in rows:
        minute = created_at.replace(second=0, microsecond=0)
        requests[minute] += 1
        tokens[minute] += completion_tokens or 0
        if duration_ms is not None:
            durations[minute].append(duration_ms)
    return [
        MinuteBucket(
            minute=minute,
            requests=requests[minute],
            completion_tokens=tokens[minute],
            p50_ms=percentile(durations[minute], 0.50),
            p95_ms=percentile(durations[minute], 0.95),
        )
        for minute in minutes
    ]


def percentile(values: Sequence[float], fraction: float) -> float | None:
    """The smallest value that at least `fraction` of the values do not exceed."""
    if not values:
        return None
    return sorted(values)[math.ceil(fraction * len(values)) - 1]


def totals(session: Session) -> Totals:
    """Counts over all rows, from indexes alone."""
    counted = (
        func.coalesce(func.sum(column), 0)
        for column in (
            GenerationStored.prompt_tokens,
            GenerationStored.cached_tokens,
            GenerationStored.completion_tokens,
        )
    )
    generations, prompt, cached, completion = session.execute(
        Select(func.count(), *counted).select_from(GenerationStored)
    ).one()
    return Totals(
        since=session.scalar(Select(func.min(RequestRecord.created_at))),
        requests=session.scalar(Select(func.count()).select_from(RequestRecord)) or 0,
        generations=generations,
        failed=session.scalar(
            Select(func.count()).where(col(GenerationStored.finish_reason).in_(_FAILED))
        )
        or 0,
        prompt_tokens=int(prompt),
        cached_tokens=int(cached),
        completion_tokens=int(completion),
    )
