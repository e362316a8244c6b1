"""The indexes by which a selection may be found, and which of them says most."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Select, literal_column, union
from sqlmodel import Session, col

from appliance.ledger.filters import SLOW_MS, Selection, is_failed, rated, within
from appliance.ledger.tables import GenerationStored, RequestRecord
from appliance.ledger.tables_feedback import Feedback

FIRST_LOOK = 200

# A query for the newest candidates before an id, at most so many.
Way = Callable[[str | None, int], Any]


def best_way(
    session: Session, chosen: Selection, before: str | None
) -> tuple[Way, Sequence[str] | None]:
    """The way whose first candidates reach back furthest, and these; None: only time narrows."""
    tried = [
        (session.execute(way(before, FIRST_LOOK)).scalars().all(), way) for way in _ways(chosen)
    ]
    ids, best = min(tried, key=lambda one: _reach(one[0]), default=(None, _by_time(chosen)))
    return best, ids


def _reach(ids: Sequence[str]) -> str:
    """How far back the first candidates go; all the way when there are few."""
    return ids[-1] if len(ids) == FIRST_LOOK else ""


def _ways(chosen: Selection) -> Iterator[Way]:
    """Every index that knows a condition of the selection."""
    request, generation = col(RequestRecord.id), col(GenerationStored.request_id)
    for condition in _of_request(chosen):
        yield partial(_by, request, chosen, condition)
    for condition in _of_generation(chosen):
        yield partial(_by, generation, chosen, condition)
    if chosen.feedback is not None:
        yield partial(_by, col(Feedback.request_id), chosen, rated(chosen.feedback))
    if chosen.failed:
        yield partial(_by_failure, chosen)


def indexed(chosen: Selection) -> Iterator[ColumnElement[bool]]:
    """The conditions on request and generation that an index knows, so that it can be used."""
    yield from _of_request(chosen)
    yield from _of_generation(chosen)


def unindexed(chosen: Selection) -> Selection:
    """What `indexed` leaves of a selection of generations, apart from time and words."""
    key = None if chosen.owner is None else chosen.key
    return Selection(
        key=key, status=chosen.status, failed=chosen.failed, feedback=chosen.feedback, answers=False
    )


def _by_time(chosen: Selection) -> Way:
    """For what no index knows."""
    of = col(GenerationStored.request_id) if chosen.answers else col(RequestRecord.id)
    return partial(_by, of, chosen, None)


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


def _by(
    column: Any,
    chosen: Selection,
    condition: ColumnElement[bool] | None,
    before: str | None,
    most: int,
) -> Any:
    query: Any = Select(column).where(*within(column, chosen, before))
    if condition is not None:
        query = query.where(condition)
    return query.order_by(column.desc()).limit(most)


def _by_failure(chosen: Selection, before: str | None, most: int) -> Any:
    request, generation = col(RequestRecord.id), col(GenerationStored.request_id)
    broken = col(GenerationStored.error).is_not(None)
    refused = _by(request, chosen, is_failed(), before, most).subquery()
    died = _by(generation, chosen, broken, before, most).subquery()
    both: Any = union(Select(refused.c[0]), Select(died.c[0])).subquery()
    query: Any = Select(both.c[0])
    return query.order_by(both.c[0].desc()).limit(most)
