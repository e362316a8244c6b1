"""Words looked for in the index of the search, from the newest text back, for a bounded time.

Letters that stand in nearly every text, in an order that hardly one has, make the index give nearly
every text to look at. So it is asked for a stretch of texts at a time, each twice as long as the
one before.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func
from sqlmodel import Session, col

from appliance.ledger.search import TEXTS_IN_FLIGHT, near, newest_matches
from appliance.ledger.tables import RequestRecord
from appliance.ledger.tables_feedback import Searched

FIRST_STRETCH = 25_000
ENOUGH_SECONDS = 0.08


@dataclass(frozen=True, slots=True)
class Matches:
    """Ids of requests, newest first, each once or twice. `further` is the id before which nothing
    has been looked at yet; None when everything has."""

    ids: Sequence[str]
    further: str | None = None


def matches(session: Session, words: str, *, before: str | None, most: int) -> Matches:
    """Requests older than the id `before` that hold `words`, at least `most` if there are."""
    begun, ids = time.monotonic(), list[str]()
    for low, high in _stretches(session, before):
        query = newest_matches(
            words, before=before, most=most - len(ids), sqlite=True, window=(low, high)
        )
        ids += session.execute(query).scalars()
        if len(ids) >= most:
            break
        if time.monotonic() - begun > ENOUGH_SECONDS and low > 1:
            found = _so_far(session, ids, low)
            if found.further is not None and (before is None or found.further < before):
                return found
    return Matches(ids)


def _stretches(session: Session, before: str | None) -> Iterator[tuple[int, int]]:
    """Ids of texts: from a first one up to, and without, a second one; the newest stretch first."""
    last: Any = Select(func.max(Searched.id)) if before is None else Select(near(before))
    high, length = (session.scalar(last) or 0) + 1, FIRST_STRETCH
    while high > 1:
        low = max(1, high - length)
        yield low, high
        high, length = low, 2 * length


def _so_far(session: Session, ids: Sequence[str], low: int) -> Matches:
    """What is sure: a request may have a text on either side of the text `low`."""
    around: Any = Select(func.max(Searched.request_id)).where(
        col(Searched.id) > low - TEXTS_IN_FLIGHT, col(Searched.id) <= low
    )
    last = session.scalar(around) or ""
    later: Any = Select(func.min(RequestRecord.id)).where(col(RequestRecord.id) > last)
    return Matches([found for found in ids if found > last], session.scalar(later))
