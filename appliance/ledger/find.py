"""Finding a selection of requests, newest first, in bounded time however many there are.

One index gives candidates in the order of time; the other conditions are asked of these alone.
Where too few of the candidates fit, the answer says how far it has looked and where to go on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, literal_column, union
from sqlmodel import Session, col

from appliance.ledger.filters import SLOW_MS, Selection, conditions, is_failed, rated, within
from appliance.ledger.tables import GenerationStored, RequestRecord
from appliance.ledger.tables_feedback import Feedback
from appliance.ledger.words import matches

FIRST_LOOK = 400
LONGEST_LOOK = 4_000
PROBE = 200


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
        out_of_time = walked > look
        if out_of_time or (found.next_before is not None and found.complete):
            return found
        if walked < look:
            return Found(found.ids, None)
    return found


def _look(
    session: Session, chosen: Selection, before: str | None, limit: int, look: int
) -> tuple[Found, int]:
    """What is found, and how many were looked at: more than `look` means that time was up."""
    ids, further = _candidates(session, chosen, before, look)
    if not ids and further is None:
        return Found((), None), 0
    request = col(RequestRecord.id)
    query: Any = Select(request).where(request.in_(ids))
    query = query.where(*within(request, chosen, before), *conditions(chosen))
    rows = session.execute(query.order_by(request.desc()).limit(limit + 1)).scalars().all()
    if len(rows) > limit:
        return Found(tuple(rows[:limit]), rows[limit - 1]), len(ids)
    if further is not None:
        return Found(tuple(rows), further, complete=False), look + 1
    return Found(tuple(rows), min(ids), complete=False), len(ids)


def _candidates(
    session: Session, chosen: Selection, before: str | None, most: int
) -> tuple[Sequence[str], str | None]:
    """Ids of requests by the one index that says most, newest first; and where to go on when it
    was not looked through as far as `most`.

    That is the index whose first few candidates reach back furthest.
    """
    if chosen.words:
        found = matches(session, chosen.words, before=before, most=most)
        return found.ids, found.further
    ways = list(_ways(chosen, before))
    best = ways[0]
    if len(ways) > 1:
        tried = [(_reach(_ids(session, way.limit(PROBE))), n) for n, way in enumerate(ways)]
        best = ways[min(tried)[1]]
    return _ids(session, best.limit(most)), None


def _reach(ids: Sequence[str]) -> str:
    """How far back the candidates of a probe go; all the way when there are few."""
    return ids[-1] if len(ids) == PROBE else ""


def _ids(session: Session, query: Any) -> Sequence[str]:
    return session.execute(query).scalars().all()


def _ways(chosen: Selection, before: str | None) -> Iterator[Any]:
    """Every index that knows a condition of the selection; at the end, if none does, the time."""
    request, generation = col(RequestRecord.id), col(GenerationStored.request_id)
    known = [(request, condition) for condition in _of_request(chosen)] + [
        (generation, condition) for condition in _of_generation(chosen)
    ]
    if chosen.feedback is not None:
        known.append((col(Feedback.request_id), rated(chosen.feedback)))
    for column, condition in known:
        yield _by(column, chosen, before, condition)
    if chosen.failed:
        yield _by_failure(chosen, before)
    elif not known:
        yield _by(generation if chosen.answers else request, chosen, before)


def _of_request(chosen: Selection) -> Iterator[ColumnElement[bool]]:
    indexed = (
        (RequestRecord.client_ip, chosen.ip),
        (RequestRecord.key_name, chosen.key if chosen.owner is None else chosen.owner),
        (RequestRecord.path, chosen.route),
    )
    yield from (col(column) == value for column, value in indexed if value is not None)
    if chosen.slow:
        yield col(RequestRecord.duration_ms) >= literal_column(str(SLOW_MS))
    if chosen.status in (4, 5) or (chosen.status or 0) >= 400:
        yield is_failed()


def _of_generation(chosen: Selection) -> Iterator[ColumnElement[bool]]:
    indexed = (
        (GenerationStored.model, chosen.model),
        (GenerationStored.dialect, chosen.dialect),
    )
    yield from (col(column) == value for column, value in indexed if value is not None)


def _by(column: Any, chosen: Selection, before: str | None, *narrower: ColumnElement[bool]) -> Any:
    query: Any = Select(column).where(*narrower, *within(column, chosen, before))
    return query.order_by(column.desc())


def _by_failure(chosen: Selection, before: str | None) -> Any:
    request, generation = col(RequestRecord.id), col(GenerationStored.request_id)
    broken = col(GenerationStored.error).is_not(None)
    refused = _by(request, chosen, before, is_failed()).limit(LONGEST_LOOK).subquery()
    died = _by(generation, chosen, before, broken).limit(LONGEST_LOOK).subquery()
    both: Any = union(Select(refused.c[0]), Select(died.c[0])).subquery()
    query: Any = Select(both.c[0])
    return query.order_by(both.c[0].desc())
