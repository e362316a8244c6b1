"""Files attached to messages: kept as text, first as drafts, then with their message.

Knows nothing of file formats. Every statement that names a draft carries `owner`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, delete
from sqlmodel import Session, col, select, update
from sqlmodel.sql.expression import SelectOfScalar

from appliance.errors import NotFound
from appliance.ledger.database import Database, changed_rows
from appliance.ledger.ids import new_id
from appliance.ledger.tables_assistants import Attachment
from appliance.ledger.writer import Writer

DRAFT_LIFE = timedelta(days=1)


class Attachments:
    """Keeps, binds and finds attachments. Writes are committed when a call returns."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer

    async def add(
        self,
        owner: str,
        *,
        name: str,
        kind: str,
        size: int,
        text: str,
        pages: int | None = None,
        tokens: int | None = None,
    ) -> Attachment:
        """A new draft of `size` bytes; drafts older than a day are forgotten on the way."""
        now = datetime.now(UTC)

        def insert(session: Session) -> Attachment:
            old = col(Attachment.created_at) < now - DRAFT_LIFE
            changed_rows(session, delete(Attachment).where(_is_draft(), old))
            made = Attachment(
                id=new_id(), owner=owner, name=name, kind=kind, bytes=size, text=text,
                pages=pages, tokens=tokens, created_at=now,
            )  # fmt: skip
            session.add(made)
            return made

        return await self._writer.execute(insert)

    async def drafts(self, ids: Collection[str], owner: str) -> tuple[Attachment, ...]:
        """`owner`'s drafts among `ids`, in the order they were added; the others are ignored."""
        if not ids:
            return ()
        await self._writer.drained()
        query = select(Attachment).where(*_these(ids, owner)).order_by(col(Attachment.id))
        return await self._database.read(lambda session: tuple(session.exec(query)))

    async def bind(self, ids: Collection[str], owner: str, message_id: str) -> None:
        """Makes `owner`'s drafts belong to a message."""
        if ids:
            change = update(Attachment).where(*_these(ids, owner)).values(message_id=message_id)
            await self._writer.execute(lambda session: changed_rows(session, change))

    async def take(self, ids: Collection[str], owner: str) -> tuple[Attachment, ...]:
        """The drafts, for a chat that is not kept: they are forgotten here."""
        found = await self.drafts(ids, owner)
        if found:
            remove = delete(Attachment).where(*_these([one.id for one in found], owner))
            await self._writer.execute(lambda session: changed_rows(session, remove))
        return found

    async def copy(self, message_id: str, to_message_id: str) -> None:
        """Gives a message the files of another one, such as a question that was edited."""

        def insert(session: Session) -> None:
            for one in session.exec(_of([message_id])):
                values = one.model_dump() | {"id": new_id(), "message_id": to_message_id}
                session.add(Attachment(**values))

        await self._writer.execute(insert)

    async def of_messages(self, message_ids: Sequence[str]) -> Mapping[str, tuple[Attachment, ...]]:
        """The files of each message that has any."""
        if not message_ids:
            return {}
        await self._writer.drained()
        query = _of(message_ids)
        found: defaultdict[str, tuple[Attachment, ...]] = defaultdict(tuple)
        for one in await self._database.read(lambda session: [*session.exec(query)]):
            found[str(one.message_id)] += (one,)
        return found

    async def get(self, attachment_id: str, owner: str) -> Attachment:
        """One of `owner`'s, draft or not; raises NotFound."""
        await self._writer.drained()
        found = await self._database.read(lambda session: session.get(Attachment, attachment_id))
        if found is None or found.owner != owner:
            raise NotFound("This file does not exist, or is not yours.")
        return found


def _of(message_ids: Sequence[str]) -> SelectOfScalar[Attachment]:
    return (
        select(Attachment)
        .where(col(Attachment.message_id).in_(message_ids))
        .order_by(col(Attachment.id))
    )


def _is_draft() -> ColumnElement[bool]:
    return col(Attachment.message_id).is_(None)


def _these(ids: Collection[str], owner: str) -> tuple[ColumnElement[bool], ...]:
    return col(Attachment.id).in_(ids), col(Attachment.owner) == owner, _is_draft()
