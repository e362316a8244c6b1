"""A selection of requests, and its conditions in SQL. It knows no page and runs nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, func, literal_column, or_
from sqlmodel import col
from ulid import ULID

from appliance.ledger.tables import GenerationStored, RequestRecord
from appliance.ledger.tables_feedback import Feedback

SLOW_MS = 10_000
Thumb = Literal["up", "down", "any"]
RATINGS = {"up": 1, "down": -1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which requests; what is None or false does not narrow.

    `since` is included, `until` is not. `status` is an HTTP status or its first digit (4, 5).
    `failed` means refused, broken off or answered with an error, `slow` at least `SLOW_MS`.
    `answers` leaves out requests that asked the engine for nothing. `words` are searched as
    they are, in input, output and thinking.
    """

    owner: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    key: str | None = None
    ip: str | None = None
    route: str | None = None
    dialect: str | None = None
    model: str | None = None
    status: int | None = None
    slow: bool = False
    failed: bool = False
    feedback: Thumb | None = None
    answers: bool = True
    words: str | None = None


def first_id(moment: datetime) -> str:
    """The lowest id a request of this moment can have: ids begin with their time."""
    milliseconds = max(0, int(moment.timestamp() * 1000))  # there are no ids from before 1970
    return str(ULID(milliseconds.to_bytes(6) + bytes(10)))


def within(column: Any, chosen: Selection, before: str | None) -> Iterator[Any]:
    """The bounds in time, on a column that holds ids of requests."""
    if before is not None:
        yield column < before
    if chosen.until is not None:
        yield column < first_id(chosen.until)
    if chosen.since is not None:
        yield column >= first_id(chosen.since)


def conditions(chosen: Selection) -> Iterator[ColumnElement[bool]]:
    """All that narrows `request`, apart from time and words; written so that no index is used.

    The candidates have been found by one index already; a second one would only mislead the
    database into walking along it.
    """
    plain = (
        (RequestRecord.key_name, chosen.owner),
        (RequestRecord.key_name, chosen.key),
        (RequestRecord.client_ip, chosen.ip),
        (RequestRecord.path, chosen.route),
    )
    for column, value in plain:
        if value is not None:
            yield func.coalesce(column, "") == value
    if chosen.status is not None:
        lowest, width = (chosen.status, 1) if chosen.status >= 100 else (chosen.status * 100, 100)
        status = func.coalesce(RequestRecord.status, 0)
        yield status.between(lowest, lowest + width - 1)
    if chosen.slow:
        yield func.coalesce(RequestRecord.duration_ms, 0) >= SLOW_MS
    if chosen.failed:
        yield or_(is_failed(), _generation(col(GenerationStored.error).is_not(None)))
    if chosen.feedback is not None:
        yield _rated(chosen.feedback)
    yield from _of_generation(chosen)


def is_failed() -> ColumnElement[bool]:
    """As the partial index has it: with a number, for no planner looks into parameters."""
    refused = col(RequestRecord.status) >= literal_column("400")
    return or_(refused, col(RequestRecord.error).is_not(None))


def rated(thumb: Thumb) -> ColumnElement[bool]:
    """Whether a row of `feedback` is such an opinion; a note alone is one too."""
    return col(Feedback.rating) == RATINGS[thumb] if thumb in RATINGS else col(Feedback.id) > ""


def _of_generation(chosen: Selection) -> Iterator[ColumnElement[bool]]:
    if chosen.model is not None:
        yield _generation(func.coalesce(GenerationStored.model, "") == chosen.model)
    if chosen.dialect is not None:
        yield _generation(func.coalesce(GenerationStored.dialect, "") == chosen.dialect)
    if chosen.answers and chosen.model is None and chosen.dialect is None:
        yield _generation()


def _generation(*narrower: ColumnElement[bool]) -> ColumnElement[bool]:
    own = col(GenerationStored.request_id) == RequestRecord.id
    query: Any = Select(col(GenerationStored.request_id)).where(own, *narrower)
    found: ColumnElement[bool] = query.correlate(RequestRecord).exists()
    return found


def _rated(thumb: Thumb) -> ColumnElement[bool]:
    own = col(Feedback.request_id) == RequestRecord.id
    query: Any = Select(col(Feedback.id)).where(own, rated(thumb))
    found: ColumnElement[bool] = query.correlate(RequestRecord).exists()
    return found
