"""Finding a selection of requests, newest first, in bounded time however many there are.

One index gives candidates in the order of time; the other conditions are asked of these alone.
Where too few of the candidates fit, the answer says how far it has looked and where to go on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Select
from sqlmodel import Session, col

from appliance.ledger import ways
from appliance.ledger.filters import Selection, conditions, first_id, within
from appliance.ledger.look import Look
from appliance.ledger.search import holds
from appliance.ledger.tables import RequestRecord
from appliance.ledger.ways import Way, best_way
from appliance.ledger.words import looks as with_words

LONGEST_LOOK = 1_000
MOST_LOOKED_AT = 5_000
ENOUGH_SECONDS = 0.05
ENOUGH_SECONDS_FOR_WORDS = 0.1


@dataclass(frozen=True, slots=True)
class Found:
    """Ids of requests, newest first. `next_before` goes on from here; None at the end.

    `complete` is false when the search stopped before the page was full: there may be more.
    """

    ids: tuple[str, ...]
    next_before: str | None
    complete: bool = True


def find(session: Session, chosen: Selection, *, before: str | None, limit: int) -> Found:
    """The newest `limit` requests of the selection that are older than the id `before`."""
    begun, looked, fitting = time.monotonic(), 0, set[str]()
    patience = ENOUGH_SECONDS if chosen.words is None else ENOUGH_SECONDS_FOR_WORDS
    looks, asked = _looks(session, chosen, before)
    for look in looks:
        fitting.update(_fitting(session, look.ids, asked, limit + 1))
        looked += len(look.ids)
        enough = looked >= MOST_LOOKED_AT or time.monotonic() - begun > patience
        if not (look.over or enough or len(fitting) > limit):
            continue
        further = "" if look.over else look.further()
        page = sorted(one for one in fitting if further is not None and one >= further)[::-1]
        if len(page) > limit:
            return Found(tuple(page[:limit]), page[limit - 1])
        if look.over:
            return Found(tuple(page), None)
        if enough and further is not None and (before is None or further < before):
            return Found(tuple(page), further, complete=False)
    return Found((), None)


def _looks(
    session: Session, chosen: Selection, before: str | None
) -> tuple[Iterator[Look], Sequence[ColumnElement[bool]]]:
    """Candidates, and what is to be asked of them.

    They come by the one index that says most. That of the words takes longest, so it is asked
    where all others have many.
    """
    asked = list(conditions(chosen))
    best, ids = best_way(session, chosen, before)
    if chosen.words is None:
        return _along(session, best, before, ids), asked
    if ids is not None and len(ids) < ways.FIRST_LOOK:
        return _along(session, best, before, ids), [*asked, holds(chosen.words)]
    asked += within(col(RequestRecord.id), chosen, None)
    since = None if chosen.since is None else first_id(chosen.since)
    return with_words(session, chosen.words, since=since, before=before), asked


def _along(
    session: Session, way: Way, before: str | None, first: Sequence[str] | None
) -> Iterator[Look]:
    """All that an index has, a few at a time; `first` are the first few if they are known."""
    size = ways.FIRST_LOOK
    ids = _ids(session, way(before, size)) if first is None else first
    while len(ids) == size:
        yield Look(ids, partial(str, ids[-1]), over=False)
        before, size = ids[-1], min(4 * size, LONGEST_LOOK)
        ids = _ids(session, way(before, size))
    yield Look(ids, str, over=True)


def _fitting(
    session: Session, candidates: Sequence[str], asked: Sequence[ColumnElement[bool]], most: int
) -> Sequence[str]:
    """The newest of the candidates of which all holds that is asked, at most so many."""
    if not candidates:
        return ()
    request = col(RequestRecord.id)
    query: Any = Select(request).where(request.in_(candidates), *asked)
    return _ids(session, query.order_by(request.desc()).limit(most))


def _ids(session: Session, query: Any) -> Sequence[str]:
    return session.execute(query).scalars().all()
