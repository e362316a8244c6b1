"""A selection of requests whole, one after the other, however many there are; newest first."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

from sqlmodel import Session, col, select

from appliance.ledger.database import Database
from appliance.ledger.filters import Selection
from appliance.ledger.find import find
from appliance.ledger.tables import GenerationRecord, RequestRecord
from appliance.ledger.tables_feedback import Feedback
from appliance.ledger.writer import Writer

AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Selected:
    """One generation whole, with its request and the last opinion of it."""

    request: RequestRecord
    generation: GenerationRecord
    opinion: Feedback | None


async def selected(
    database: Database, writer: Writer, chosen: Selection, most: int | None = None
) -> AsyncIterator[Selected]:
    """The generations of a selection, at most `most`; what arrives meanwhile is left out."""
    await writer.drained()
    before: str | None = None
    left = most
    while left is None or left > 0:
        size = AT_ONCE if left is None else min(AT_ONCE, left)
        work = partial(_page, chosen=chosen, before=before, limit=size)
        rows, before = await database.read(work)
        for row in rows:
            yield row
        left = None if left is None else left - len(rows)
        if before is None:
            return


def _page(
    session: Session, chosen: Selection, before: str | None, limit: int
) -> tuple[list[Selected], str | None]:
    found = find(session, chosen, before=before, limit=limit)
    wanted = select(RequestRecord).where(col(RequestRecord.id).in_(found.ids))
    requests = {row.id: row for row in session.exec(wanted)}
    opinions = select(Feedback).where(col(Feedback.request_id).in_(found.ids))
    last = {
        one.request_id: one for one in session.exec(opinions.order_by(col(Feedback.created_at)))
    }
    asked = select(GenerationRecord).where(col(GenerationRecord.request_id).in_(found.ids))
    newest_first = asked.order_by(col(GenerationRecord.request_id).desc(), col(GenerationRecord.id))
    rows = [
        Selected(requests[one.request_id], one, last.get(one.request_id))
        for one in session.exec(newest_first)
        if one.request_id in requests
    ]
    return rows, found.next_before
