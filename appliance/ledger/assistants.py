"""Assistants that people have made: kept, changed, found. Knows nothing of the files' presets."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypedDict

from sqlmodel import Session, col, or_, select

from appliance.errors import NotFound
from appliance.ledger.database import QUERIES_KEPT, Database
from appliance.ledger.ids import new_id
from appliance.ledger.tables_assistants import OwnAssistant
from appliance.ledger.writer import Writer


class AssistantFields(TypedDict):
    """What a person says of an assistant."""

    kind: str
    name: str
    description: str
    instructions: str
    greeting: str
    replies: list[str]
    temperature: float | None
    thinking: bool | None
    faq: str
    handover: str
    origins: list[str]
    for_everyone: bool


class Assistants:
    """Writes are committed when a call returns. Changing and deleting need the owner's name."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer

    async def create(self, owner: str, fields: AssistantFields) -> OwnAssistant:
        now = datetime.now(UTC)
        made = OwnAssistant(id=new_id(), owner=owner, created_at=now, updated_at=now, **fields)

        def insert(session: Session) -> OwnAssistant:
            session.add(made)
            return made

        return await self._writer.execute(insert)

    async def change(self, assistant_id: str, owner: str, fields: AssistantFields) -> None:
        """Raises NotFound when it is not there, or not `owner`'s."""

        def change(session: Session) -> None:
            found = _own(session, assistant_id, owner)
            found.sqlmodel_update({**fields, "updated_at": datetime.now(UTC)})

        await self._writer.execute(change)

    async def delete(self, assistant_id: str, owner: str) -> None:
        """Raises NotFound when it is not there, or not `owner`'s."""
        await self._writer.execute(
            lambda session: session.delete(_own(session, assistant_id, owner))
        )

    async def seen_by(self, owner: str) -> list[OwnAssistant]:
        """`owner`'s own and those that are for everyone, by name."""
        await self._writer.drained()
        return await self._database.read(lambda session: [*session.exec(_seen_by(owner))])

    async def find(self, assistant_id: str) -> OwnAssistant | None:
        """Whosever it is."""
        await self._writer.drained()
        return await self._database.read(lambda session: session.get(OwnAssistant, assistant_id))


@lru_cache(QUERIES_KEPT)
def _seen_by(owner: str) -> Any:
    return (
        select(OwnAssistant)
        .where(or_(OwnAssistant.owner == owner, col(OwnAssistant.for_everyone).is_(True)))
        .order_by(col(OwnAssistant.name), col(OwnAssistant.id))
    )


def _own(session: Session, assistant_id: str, owner: str) -> OwnAssistant:
    found = session.get(OwnAssistant, assistant_id)
    if found is None or found.owner != owner:
        raise NotFound("There is no such assistant, or it is not yours.")
    return found
