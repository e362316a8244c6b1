"""What the ledger holds of one person, for that person: to count, to take away, to delete.

Every statement carries the owner, so nobody's call reaches anybody else's rows.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any

from sqlmodel import Session, col, func, select

from appliance.ledger.columns import readable_json
from appliance.ledger.database import Database
from appliance.ledger.forget import forget_requests, scrub_file
from appliance.ledger.tables import GenerationRecord, RequestRecord
from appliance.ledger.writer import Writer

AT_ONCE = 200


class Mine:
    """Serves `owner`, a key's name or "owner". Chats have a page of their own."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer

    async def count(self, owner: str) -> int:
        """How many requests of theirs are recorded."""
        await self._writer.drained()
        query = select(func.count()).where(RequestRecord.key_name == owner)
        return await self._database.read(lambda session: session.exec(query).one())

    async def export(self, owner: str) -> AsyncIterator[str]:
        """Each request whole, as one line of JSON with its `generations`, oldest first."""
        await self._writer.drained()
        after = ""
        while rows := await self._database.read(partial(_page, owner=owner, after=after)):
            for row in rows:
                yield readable_json(row) + "\n"
            after = rows[-1]["id"]

    async def delete(self, owner: str, ids: Sequence[str] | None = None) -> int:
        """Deletes their requests for good, or those of them that are named. How many went.

        What is being answered right now stays. Returns when nothing of it is left in the file.
        """
        gone = 0
        for chosen in _chunks(ids):
            work = partial(_delete_some, owner=owner, ids=chosen)
            while some := await self._writer.execute(work):
                gone += some
        if gone:
            await scrub_file(self._database, self._writer)
        return gone


def _chunks(ids: Sequence[str] | None) -> list[Sequence[str] | None]:
    if ids is None:
        return [None]
    return [ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE)]


def _delete_some(session: Session, owner: str, ids: Sequence[str] | None) -> int:
    theirs = (
        select(RequestRecord.id)
        .where(RequestRecord.key_name == owner, col(RequestRecord.status).is_not(None))
        .limit(AT_ONCE)
    )
    if ids is not None:
        theirs = theirs.where(col(RequestRecord.id).in_(ids))
    return forget_requests(session, list(session.exec(theirs)))


def _page(session: Session, owner: str, after: str) -> list[dict[str, Any]]:
    theirs = (
        select(RequestRecord)
        .where(RequestRecord.key_name == owner, RequestRecord.id > after)
        .order_by(col(RequestRecord.id))
        .limit(AT_ONCE)
    )
    rows = {
        row.id: row.model_dump(mode="json") | {"generations": []} for row in session.exec(theirs)
    }
    asked = (
        select(GenerationRecord)
        .where(col(GenerationRecord.request_id).in_(list(rows)))
        .order_by(col(GenerationRecord.id))
    )
    for generation in session.exec(asked):
        rows[generation.request_id]["generations"].append(generation.model_dump(mode="json"))
    return list(rows.values())
