"""Finding a selection of requests, newest first, in bounded time however many there are.

One index gives candidates in the order of time; the other conditions are asked of these alone.
Where too few of the candidates fit, the answer says how far it has looked and where to go on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, literal_column, union
from sqlmodel import Session, col

from appliance.ledger.filters import SLOW_MS, Selection, conditions, is_failed, rated, within
from appliance.ledger.search import SHORTEST_IN_INDEX, newest_matches
from appliance.ledger.tables import GenerationStored, RequestRecord
from appliance.ledger.tables_feedback import Feedback

FIRST_LOOK = 400
LONGEST_LOOK = 8_000


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
    found: Found = Found((), None)
    for look in (FIRST_LOOK, LONGEST_LOOK):
        found, walked = _look(session, chosen, before, limit, look)
        if found.next_before is not None and found.complete:
            return found
        if walked < look:
            return _at_the_end(chosen, found)
    return found


def _at_the_end(chosen: Selection, found: Found) -> Found:
    """Everything was looked at, but for words too short for the index."""
    short = chosen.words is not None and len(chosen.words) < SHORTEST_IN_INDEX
    return Found(found.ids, None, complete=not short)


def _look(
    session: Session, chosen: Selection, before: str | None, limit: int, look: int
) -> tuple[Found, int]:
    candidates = _candidates(session, chosen, before, look)
    ids = list(session.execute(candidates).scalars())
    if not ids:
        return Found((), None), 0
    request = col(RequestRecord.id)
    query: Any = Select(request).where(request.in_(ids))
    query = query.where(*within(request, chosen, before), *conditions(chosen))
    rows = session.execute(query.order_by(request.desc()).limit(limit + 1)).scalars().all()
    if len(rows) > limit:
        return Found(tuple(rows[:limit]), rows[limit - 1]), len(ids)
    return Found(tuple(rows), min(ids), complete=False), len(ids)


def _candidates(session: Session, chosen: Selection, before: str | None, most: int) -> Any:
    """Ids of requests by the one index that says most, newest first."""
    if chosen.words:
        sqlite = session.get_bind().dialect.name == "sqlite"
        return newest_matches(chosen.words, before=before, most=most, sqlite=sqlite)
    if chosen.feedback is not None:
        return _by(col(Feedback.request_id), chosen, before, most, rated(chosen.feedback))
    if chosen.failed:
        return _by_failure(chosen, before, most)
    driver = _of_request(chosen)
    if driver is not None:
        return _by(col(RequestRecord.id), chosen, before, most, driver)
    generation = col(GenerationStored.request_id)
    if chosen.model is not None:
        named = col(GenerationStored.model) == chosen.model
        return _by(generation, chosen, before, most, named)
    if chosen.answers or chosen.dialect is not None:
        return _by(generation, chosen, before, most)
    return _by(col(RequestRecord.id), chosen, before, most)


def _of_request(chosen: Selection) -> ColumnElement[bool] | None:
    if chosen.ip is not None:
        return col(RequestRecord.client_ip) == chosen.ip
    if chosen.slow:
        return col(RequestRecord.duration_ms) >= literal_column(str(SLOW_MS))
    name = chosen.owner if chosen.owner is not None else chosen.key
    if name is not None:
        return col(RequestRecord.key_name) == name
    if chosen.route is not None:
        return col(RequestRecord.path) == chosen.route
    if chosen.status in (4, 5) or (chosen.status or 0) >= 400:
        return is_failed()
    return None


def _by(
    column: Any,
    chosen: Selection,
    before: str | None,
    most: int,
    *narrower: ColumnElement[bool],
) -> Any:
    query: Any = Select(column).where(*narrower, *within(column, chosen, before))
    return query.order_by(column.desc()).limit(most)


def _by_failure(chosen: Selection, before: str | None, most: int) -> Any:
    request, generation = col(RequestRecord.id), col(GenerationStored.request_id)
    broken = col(GenerationStored.error).is_not(None)
    refused = _by(request, chosen, before, most, is_failed()).subquery()
    died = _by(generation, chosen, before, most, broken).subquery()
    both: Any = union(Select(refused.c[0]), Select(died.c[0])).subquery()
    query: Any = Select(both.c[0])
    return query.order_by(both.c[0].desc()).limit(most)
