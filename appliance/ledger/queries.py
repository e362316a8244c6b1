"""Questions the pages and the admin API ask of the ledger.

Each waits for the writes queued before it, so that a page sees what its reader has just done.
`owner` narrows an answer to the requests of one key name, in the SQL itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import Select, func
from sqlmodel import Session, col, select

from appliance.ledger.database import Database
from appliance.ledger.excerpt import excerpt, last_message, one_message
from appliance.ledger.statistics import by_minute, generations_since, totals
from appliance.ledger.tables import (
    GenerationRecord,
    GenerationStored,
    Part,
    RequestRecord,
    Turn,
)
from appliance.ledger.views import (
    GenerationRow,
    MinuteBucket,
    RequestDetail,
    RequestPage,
    RequestRow,
    Totals,
)
from appliance.ledger.writer import Writer

T = TypeVar("T")

MAX_PAGE = 200
_MINUTE = timedelta(minutes=1)


class Queries:
    """Reads `database`, after what `writer` has in hand."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer

    async def requests(
        self,
        *,
        owner: str | None,
        before: str | None = None,
        limit: int = 50,
        generations_only: bool = False,
    ) -> RequestPage:
        """Requests older than the id `before`, newest first, at most `limit` (≤ MAX_PAGE).

        `owner` None means everyone's. `generations_only` leaves out requests that asked the
        engine for nothing, such as page views.
        """
        limit = max(1, min(limit, MAX_PAGE))
        query = page_of_requests(owner, before, limit, generations_only)
        return await self._fresh(lambda session: _request_page(session, query, limit))

    async def request(self, id: str, *, owner: str | None) -> RequestDetail | None:  # noqa: A002
        """One request whole; None when there is none, or it is not `owner`'s."""
        return await self._fresh(lambda session: _request_detail(session, id, owner))

    async def throughput(self, *, minutes: int) -> list[MinuteBucket]:
        """The last `minutes` minutes, the current one included, oldest first, none left out."""
        this_minute = datetime.now(UTC).replace(second=0, microsecond=0)
        start = this_minute - (minutes - 1) * _MINUTE
        rows = await self._fresh(lambda session: session.execute(generations_since(start)).all())
        return by_minute(rows, [start + index * _MINUTE for index in range(minutes)])

    async def totals(self) -> Totals:
        """Counts over everything the ledger holds."""
        return await self._fresh(totals)

    async def _fresh(self, query: Callable[[Session], T]) -> T:
        await self._writer.drained()
        return await self._database.read(query)


def page_of_requests(
    owner: str | None, before: str | None, limit: int, generations_only: bool
) -> Select[RequestRecord]:
    """One row more than `limit`, which tells whether there is a next page."""
    query = select(RequestRecord).order_by(col(RequestRecord.id).desc()).limit(limit + 1)
    if owner is not None:
        query = query.where(RequestRecord.key_name == owner)
    if before is not None:
        query = query.where(RequestRecord.id < before)
    if generations_only:
        asked = select(GenerationStored.request_id).where(
            GenerationStored.request_id == RequestRecord.id
        )
        query = query.where(asked.exists())
    return query


def _request_page(session: Session, query: Select[RequestRecord], limit: int) -> RequestPage:
    records = session.scalars(query).all()
    shown = records[:limit]
    return RequestPage(_rows(session, shown), shown[-1].id if len(records) > limit else None)


def rows_of(session: Session, ids: Sequence[str]) -> tuple[RequestRow, ...]:
    """These requests as rows of a list, in this order; what is gone meanwhile is left out."""
    query = select(RequestRecord).where(col(RequestRecord.id).in_(ids))
    found = {record.id: record for record in session.scalars(query)}
    return _rows(session, [found[name] for name in ids if name in found])


def _rows(session: Session, records: Sequence[RequestRecord]) -> tuple[RequestRow, ...]:
    generations = _summaries(session, [record.id for record in records])
    return tuple(
        RequestRow(**_shown(record), generations=tuple(generations[record.id]))
        for record in records
    )


def _shown(record: RequestRecord) -> dict[str, Any]:
    names = RequestRow.__dataclass_fields__.keys() - {"generations"}
    return {name: getattr(record, name) for name in names}


def _summaries(session: Session, request_ids: Sequence[str]) -> dict[str, list[GenerationRow]]:
    """The generations of all these requests, in one query, without their long texts."""
    asked = func.coalesce(one_message(Part.content), last_message(GenerationStored.input))
    cut = {
        "input_excerpt": excerpt(asked),
        "output_excerpt": excerpt(GenerationStored.output),
    }
    columns = [
        cut[name].label(name) if name in cut else getattr(GenerationStored, name)
        for name in GenerationRow.__dataclass_fields__
    ]
    query: Select[*tuple[Any, ...]] = (
        Select(*columns)
        .select_from(GenerationStored)
        .outerjoin(Turn, col(Turn.id) == GenerationStored.turn_id)
        .outerjoin(Part, col(Part.id) == Turn.part_id)
        .where(col(GenerationStored.request_id).in_(request_ids))
        .order_by(col(GenerationStored.id))
    )
    found: dict[str, list[GenerationRow]] = defaultdict(list)
    for row in session.execute(query).mappings():
        found[row["request_id"]].append(GenerationRow(**row))
    return found


def _request_detail(session: Session, request_id: str, owner: str | None) -> RequestDetail | None:
    query = select(RequestRecord).where(RequestRecord.id == request_id)
    if owner is not None:
        query = query.where(RequestRecord.key_name == owner)
    request = session.exec(query).one_or_none()
    if request is None:
        return None
    generations = session.exec(
        select(GenerationRecord)
        .where(GenerationRecord.request_id == request_id)
        .order_by(col(GenerationRecord.id))
    )
    return RequestDetail(request, tuple(generations))
