"""Chats kept on the server. Each belongs to one person, and nobody else's call reaches it.

Every statement carries `owner`; a conversation of somebody else is, for the caller, not there.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import delete
from sqlmodel import Session, col, select, update

from appliance.domain import Role
from appliance.errors import NotFound
from appliance.ledger.conversation_list import cursor, page_of_conversations
from appliance.ledger.database import Database, changed_rows
from appliance.ledger.ids import new_id
from appliance.ledger.tables_chat import Conversation, ConversationMessage, MessageStatus
from appliance.ledger.views import ConversationDetail, ConversationPage, ConversationRow
from appliance.ledger.writer import Writer

MAX_TITLE_LENGTH = 200
MAX_PAGE = 200


class Conversations:
    """Makes, lists and changes conversations. Writes are committed when a call returns.

    Every method that names a conversation or message raises NotFound when it is not there,
    was deleted, or is not `owner`'s.
    """

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer

    async def create(self, owner: str, *, title: str = "") -> Conversation:
        """Starts an empty conversation. `owner` is a key's name or "owner"."""
        now = datetime.now(UTC)

        def insert(session: Session) -> Conversation:
            conversation = Conversation(
                id=new_id(), owner=owner, title=_short(title), created_at=now, updated_at=now
            )
            session.add(conversation)
            return conversation

        return await self._writer.execute(insert)

    async def list(
        self, owner: str, *, limit: int = 50, before: str | None = None
    ) -> ConversationPage:
        """`owner`'s conversations, last used first; `before` is a page's `next_before`.

        Raises InvalidRequest for a `before` that no page has given out.
        """
        limit = max(1, min(limit, MAX_PAGE))
        query = page_of_conversations(owner, before, limit)
        await self._writer.drained()
        found = await self._database.read(lambda session: session.execute(query).mappings().all())
        rows = tuple(ConversationRow(**row) for row in found[:limit])
        return ConversationPage(rows, cursor(rows[-1]) if len(found) > limit else None)

    async def get(self, id: str, owner: str) -> ConversationDetail:  # noqa: A002
        """The conversation with all its messages."""
        await self._writer.drained()
        return await self._database.read(lambda session: _detail(session, id, owner))

    async def rename(self, id: str, owner: str, title: str) -> None:  # noqa: A002
        """Gives it a title, cut to `MAX_TITLE_LENGTH` characters."""
        await self._writer.execute(lambda session: _change(session, id, owner, title=_short(title)))

    async def delete(self, id: str, owner: str) -> None:  # noqa: A002
        """Removes messages and title for good. The requests stay in the ledger."""

        def remove(session: Session) -> None:
            _change(session, id, owner, title="", deleted_at=datetime.now(UTC))
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
        reasoning: str | None = None,
        status: MessageStatus = "done",
        request_id: str | None = None,
    ) -> ConversationMessage:
        """Appends a message; an answer starts as "streaming" and is then updated."""

        def insert(session: Session) -> ConversationMessage:
            now = datetime.now(UTC)
            _change(session, conversation_id, owner, updated_at=now)
            message = ConversationMessage(
                id=new_id(),
                conversation_id=conversation_id,
                role=role,
                content=content,
                reasoning=reasoning,
                status=status,
                request_id=request_id,
                created_at=now,
            )
            session.add(message)
            return message

        return await self._writer.execute(insert)

    async def update_message(
        self,
        message_id: str,
        owner: str,
        *,
        content: str | None = None,
        reasoning: str | None = None,
        status: MessageStatus | None = None,
        error: str | None = None,
        request_id: str | None = None,
    ) -> None:
        """Changes what is given and leaves what is None; `request_id` when it is asked anew."""
        given = {
            "content": content,
            "reasoning": reasoning,
            "status": status,
            "error": error,
            "request_id": request_id,
        }
        values = {name: value for name, value in given.items() if value is not None}

        def change(session: Session) -> None:
            message = session.get(ConversationMessage, message_id)
            if message is None:
                raise _not_found()
            _change(session, message.conversation_id, owner, updated_at=datetime.now(UTC))
            message.sqlmodel_update(values)

        await self._writer.execute(change)


def _detail(session: Session, conversation_id: str, owner: str) -> ConversationDetail:
    conversation = session.exec(
        select(Conversation).where(
            Conversation.id == conversation_id,
            Conversation.owner == owner,
            col(Conversation.deleted_at).is_(None),
        )
    ).one_or_none()
    if conversation is None:
        raise _not_found()
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
        raise _not_found()


def _not_found() -> NotFound:
    return NotFound("This conversation does not exist, or is not yours.")


def _short(title: str) -> str:
    return " ".join(title.split())[:MAX_TITLE_LENGTH]
