"""Chats kept on the server. Each belongs to one person, and nobody else's call reaches it.

Every statement carries `owner`; a conversation of somebody else is, for the caller, not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Unpack

from sqlalchemy import Select, delete
from sqlmodel import Session, col, select, update

from appliance.domain import Role
from appliance.ledger.conversation_changes import (
    ConversationChanges,
    ConversationChoices,
    MessageChanges,
    MessageFacts,
    new_message,
    no_such_conversation,
)
from appliance.ledger.conversation_list import cursor, page_of_conversations, placed_conversations
from appliance.ledger.database import Database, changed_rows
from appliance.ledger.ids import new_id
from appliance.ledger.tables_chat import Conversation, ConversationMessage
from appliance.ledger.views import ConversationDetail, ConversationPage, ConversationRow
from appliance.ledger.writer import Writer

MAX_TITLE_LENGTH = 200
MAX_PAGE = 200
EMPTIED = ("current_id", "system_prompt", "sampling", "folder", "assistant")


class Conversations:
    """Makes, lists and changes conversations. Writes are committed when a call returns.

    Every method that names a conversation or message raises NotFound when it is not there,
    was deleted, or is not `owner`'s.
    """

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer

    async def create(
        self, owner: str, *, title: str = "", **chosen: Unpack[ConversationChoices]
    ) -> Conversation:
        """Starts an empty conversation. `owner` is a key's name or "owner"."""
        now = datetime.now(UTC)
        made = Conversation(
            id=new_id(), owner=owner, title=_short(title), created_at=now, updated_at=now
        )
        made.sqlmodel_update(dict(chosen))
        await self.bring_in(made, ())
        return made

    async def bring_in(
        self, conversation: Conversation, messages: Sequence[ConversationMessage]
    ) -> None:
        """Keeps a conversation that was put together elsewhere, with all its messages."""

        def insert(session: Session) -> None:
            session.add(conversation)
            session.flush()
            session.add_all(messages)

        await self._writer.execute(insert)

    async def list(
        self, owner: str, *, limit: int = 50, before: str | None = None, search: str = ""
    ) -> ConversationPage:
        """`owner`'s conversations, last used first; `before` is a page's `next_before`.

        With `search` only those whose title or messages hold that text, in any case.
        Raises InvalidRequest for a `before` that no page has given out.
        """
        limit = max(1, min(limit, MAX_PAGE))
        query = page_of_conversations(owner, before, limit, search)
        found = await self._rows(query)
        rows = found[:limit]
        return ConversationPage(rows, cursor(rows[-1]) if len(found) > limit else None)

    async def placed(self, owner: str) -> tuple[ConversationRow, ...]:
        """Those that `owner` has pinned or put into a folder, last used first."""
        return await self._rows(placed_conversations(owner, MAX_PAGE))

    async def get(self, id: str, owner: str) -> ConversationDetail:  # noqa: A002
        """The conversation with all its messages."""
        await self._writer.drained()
        return await self._database.read(lambda session: _detail(session, id, owner))

    async def change(self, id: str, owner: str, **changes: Unpack[ConversationChanges]) -> None:  # noqa: A002
        """Changes what is given; a title is cut to `MAX_TITLE_LENGTH` characters."""
        if "title" in changes:
            changes["title"] = _short(changes["title"])
        await self._writer.execute(lambda session: _change(session, id, owner, **changes))

    async def delete(self, id: str, owner: str) -> None:  # noqa: A002
        """Removes messages, title and settings for good. The requests stay in the ledger."""

        def remove(session: Session) -> None:
            emptied = dict.fromkeys(EMPTIED)
            _change(session, id, owner, title="", deleted_at=datetime.now(UTC), **emptied)
            messages = delete(ConversationMessage)
            changed_rows(session, messages.where(col(ConversationMessage.conversation_id) == id))

        await self._writer.execute(remove)

    async def add_message(
        self,
        conversation_id: str,
        owner: str,
        *,
        role: Role,
        content: str,
        parent_id: str | None = None,
        **more: Unpack[MessageFacts],
    ) -> ConversationMessage:
        """Adds a message after `parent_id`; an answer starts as "streaming" and is then updated."""
        message = new_message(conversation_id, role, content, parent_id)
        message.sqlmodel_update(dict(more))

        def insert(session: Session) -> ConversationMessage:
            now, current = message.created_at, message.id
            _change(session, conversation_id, owner, updated_at=now, current_id=current)
            session.add(message)
            return message

        return await self._writer.execute(insert)

    async def update_message(
        self, message_id: str, owner: str, **changes: Unpack[MessageChanges]
    ) -> None:
        """Changes what is given and leaves what is None."""
        values = {name: value for name, value in changes.items() if value is not None}

        def change(session: Session) -> None:
            message = session.get(ConversationMessage, message_id)
            if message is None:
                raise no_such_conversation()
            _change(session, message.conversation_id, owner, updated_at=datetime.now(UTC))
            message.sqlmodel_update(values)

        await self._writer.execute(change)

    async def _rows(self, query: Select[*tuple[Any, ...]]) -> tuple[ConversationRow, ...]:
        await self._writer.drained()
        found = await self._database.read(lambda session: session.execute(query).mappings().all())
        return tuple(ConversationRow(**row) for row in found)


def _detail(session: Session, conversation_id: str, owner: str) -> ConversationDetail:
    conversation = session.exec(
        select(Conversation).where(
            Conversation.id == conversation_id,
            Conversation.owner == owner,
            col(Conversation.deleted_at).is_(None),
        )
    ).one_or_none()
    if conversation is None:
        raise no_such_conversation()
    messages = session.exec(
        select(ConversationMessage)
        .where(ConversationMessage.conversation_id == conversation_id)
        .order_by(col(ConversationMessage.id))
    )
    return ConversationDetail(conversation, tuple(messages))


def _change(session: Session, conversation_id: str, owner: str, **values: object) -> None:
    """Changes `owner`'s conversation; raises NotFound when there is no such one."""
    changing = update(Conversation).where(
        col(Conversation.id) == conversation_id,
        col(Conversation.owner) == owner,
        col(Conversation.deleted_at).is_(None),
    )
    if changed_rows(session, changing.values(values)) == 0:
        raise no_such_conversation()


def _short(title: str) -> str:
    return " ".join(title.split())[:MAX_TITLE_LENGTH]
