"""Words looked for among the texts of the search, from the newest text back, a stretch at a time.

Letters that stand in nearly every text, in an order that hardly one has, make an index give nearly
every text to look at; so it is asked for a stretch of texts at a time, and whoever asks may stop
after any. Where there is no index, or the words are too short for it, the texts themselves are
read, a shorter stretch at a time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from sqlalchemy import Select, func, text
from sqlmodel import Session, col

from appliance.ledger.look import Look
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
MOST_AT_ONCE = 200
MANY = 0.05
"""Of the texts that are read, how many must match to make reading the quicker way."""
QUICK_SECONDS = 0.04
"""After a quick stretch of the index in a file, the next one is twice as long."""

_IS_INDEXED = text(f"SELECT to_regclass('{SERVER_INDEX}') IS NOT NULL")


def looks(session: Session, words: str, *, since: str | None, before: str | None) -> Iterator[Look]:
    """Requests that hold `words`, each once or twice, with ids from `since` up to `before`."""
    newest: Any = Select(func.max(Searched.id)) if before is None else Select(near(before))
    high, lowest = (session.scalar(newest) or 0) + 1, _lowest(session, since)
    way = _way(session, words)
    through = partial(_through, session, words, before, lowest)
    if way == "stretch":
        # The index would look at all of a stretch before it gives the newest: what stands in many
        # texts is sooner read.
        middle, found = max(lowest, high - READ_AT_ONCE), 0
        for look in through(_stretches("texts", middle, high)):
            found += len(look.ids)
            yield look
        high, way = middle, "texts" if found > READ_AT_ONCE * MANY else way
    yield from through(_stretches(way, lowest, high))
    if high <= lowest:
        yield Look((), str, over=True)


def _through(
    session: Session, words: str, before: str | None, lowest: int, stretches: Iterator[Stretch]
) -> Iterator[Look]:
    """The matches of one stretch after the other, some at a time."""
    for stretch in stretches:
        high = stretch.high
        while high > stretch.low:
            query = newest_matches(
                words, replace(stretch, high=high), before=before, most=MOST_AT_ONCE
            )
            found = session.execute(query).all()
            high = found[-1][0] if len(found) == MOST_AT_ONCE else stretch.low
            ids = [request_id for _, request_id in found]
            yield Look(ids, partial(_further, session, high), over=high <= lowest)


def _way(session: Session, words: str) -> Way:
    if len(words) < SHORTEST_IN_INDEX:
        return "texts"
    if session.get_bind().dialect.name == "sqlite":
        return "words"
    return "stretch" if session.scalar(_IS_INDEXED) else "texts"


def _lowest(session: Session, since: str | None) -> int:
    """The lowest id of a text that a request since the id `since` can have."""
    if since is None:
        return 1
    query: Any = Select(col(Searched.id)).where(col(Searched.request_id) >= since)
    first = session.scalar(query.order_by(col(Searched.request_id)).limit(1))
    return 1 if first is None else max(1, first - TEXTS_IN_FLIGHT)


def _stretches(way: Way, lowest: int, high: int) -> Iterator[Stretch]:
    """All texts with ids from `lowest` up to `high`; the newest stretch first."""
    length = FIRST_STRETCH
    while high > lowest:
        if way == "stretch":
            low = (high - 1) >> STRETCH_BITS << STRETCH_BITS
        else:
            low = high - (length if way == "words" else READ_AT_ONCE)
        begun = time.monotonic()
        yield Stretch(max(lowest, low), high, way)
        if time.monotonic() - begun < QUICK_SECONDS:
            length *= 2
        high = low


def _further(session: Session, low: int) -> str | None:
    """The lowest id of a request that surely has no text below the text `low`; None: not one."""
    around: Any = Select(func.max(Searched.request_id)).where(
        col(Searched.id) > low - TEXTS_IN_FLIGHT, col(Searched.id) <= low
    )
    last = session.scalar(around) or ""
    later: Any = Select(func.min(RequestRecord.id)).where(col(RequestRecord.id) > last)
    found: str | None = session.scalar(later)
    return found
