"""Words looked for among the texts of the search, from the newest text back, for a bounded time.

Letters that stand in nearly every text, in an order that hardly one has, make an index give nearly
every text to look at. So it is asked for a stretch of texts at a time. Where there is no index, or
the words are too short for it, the texts themselves are read, a shorter stretch at a time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, text
from sqlmodel import Session, col

from appliance.ledger.search import (
    SHORTEST_IN_INDEX,
    STRETCH_BITS,
    TEXTS_IN_FLIGHT,
    Stretch,
    Way,
    near,
    newest_matches,
)
from appliance.ledger.search_index import SERVER_INDEX
from appliance.ledger.tables import RequestRecord
from appliance.ledger.tables_feedback import Searched

FIRST_STRETCH = 25_000
READ_AT_ONCE = 2_000
ENOUGH_SECONDS = 0.08

_IS_INDEXED = text(f"SELECT to_regclass('{SERVER_INDEX}') IS NOT NULL")


@dataclass(frozen=True, slots=True)
class Matches:
    """Ids of requests, newest first, each once or twice. `further` is the id before which nothing
    has been looked at yet; None when everything has."""

    ids: Sequence[str]
    further: str | None = None


def matches(session: Session, words: str, *, before: str | None, most: int) -> Matches:
    """Requests older than the id `before` that hold `words`, at least `most` if there are."""
    begun, ids = time.monotonic(), list[str]()
    last: Any = Select(func.max(Searched.id)) if before is None else Select(near(before))
    for stretch in _stretches(_way(session, words), (session.scalar(last) or 0) + 1):
        query = newest_matches(words, stretch, before=before, most=most - len(ids))
        ids += session.execute(query).scalars()
        if len(ids) >= most:
            break
        if time.monotonic() - begun > ENOUGH_SECONDS and stretch.low > 1:
            found = _so_far(session, ids, stretch.low)
            if found.further is not None and (before is None or found.further < before):
                return found
    return Matches(ids)


def _way(session: Session, words: str) -> Way:
    if len(words) < SHORTEST_IN_INDEX:
        return "texts"
    if session.get_bind().dialect.name == "sqlite":
        return "words"
    return "stretch" if session.scalar(_IS_INDEXED) else "texts"


def _stretches(way: Way, high: int) -> Iterator[Stretch]:
    """All texts with ids below `high`; the newest stretch first."""
    if way == "stretch" and high > 1:
        # Words that stand in many texts are found here, sooner than the index has sorted them.
        yield Stretch(max(1, high - READ_AT_ONCE), high, "texts")
        high = max(1, high - READ_AT_ONCE)
    length = FIRST_STRETCH
    while high > 1:
        if way == "words":
            low, length = high - length, 2 * length
        elif way == "stretch":
            low = (high - 1) >> STRETCH_BITS << STRETCH_BITS
        else:
            low = high - READ_AT_ONCE
        yield Stretch(max(1, low), high, way)
        high = max(1, low)


def _so_far(session: Session, ids: Sequence[str], low: int) -> Matches:
    """What is sure: a request may have a text on either side of the text `low`."""
    around: Any = Select(func.max(Searched.request_id)).where(
        col(Searched.id) > low - TEXTS_IN_FLIGHT, col(Searched.id) <= low
    )
    last = session.scalar(around) or ""
    later: Any = Select(func.min(RequestRecord.id)).where(col(RequestRecord.id) > last)
    return Matches([found for found in ids if found > last], session.scalar(later))
