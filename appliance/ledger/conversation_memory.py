"""Temporary chats: conversations that are never written down.

The same promises as `Conversations`, kept in memory: they are gone when they are deleted, when
nobody has used them for a day, or when the appliance stops. Belongs to one event loop.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Unpack

from appliance.domain import Role
from appliance.ledger.conversation_changes import (
    ConversationChanges,
    ConversationChoices,
    MessageChanges,
    MessageFacts,
    new_message,
    no_such_conversation,
)
from appliance.ledger.ids import new_id
from appliance.ledger.tables_chat import Conversation, ConversationMessage
from appliance.ledger.views import ConversationDetail

KEPT = timedelta(days=1)
MOST = 500


@dataclass(slots=True)
class _Held:
    conversation: Conversation
    messages: dict[str, ConversationMessage] = field(default_factory=dict)


class PassingConversations:
    """Conversations in memory. `id in passing` says whether one is held here, whoever's it is."""

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}

    def __contains__(self, conversation_id: str) -> bool:
        return conversation_id in self._held

    async def create(
        self, owner: str, *, title: str = "", **chosen: Unpack[ConversationChoices]
    ) -> Conversation:
        """Starts an empty conversation; the longest unused make room for it."""
        now = datetime.now(UTC)
        made = Conversation(id=new_id(), owner=owner, title=title, created_at=now, updated_at=now)
        made.sqlmodel_update(dict(chosen))
        self._forget_old(now)
        self._held[made.id] = _Held(made)
        return made

    async def get(self, id: str, owner: str) -> ConversationDetail:  # noqa: A002
        held = self._of(id, owner)
        copies = (ConversationMessage(**one.model_dump()) for one in held.messages.values())
        return ConversationDetail(Conversation(**held.conversation.model_dump()), tuple(copies))

    async def change(self, id: str, owner: str, **changes: Unpack[ConversationChanges]) -> None:  # noqa: A002
        self._of(id, owner).conversation.sqlmodel_update(dict(changes))

    async def delete(self, id: str, owner: str) -> None:  # noqa: A002
        self._of(id, owner)
        del self._held[id]

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
        held = self._of(conversation_id, owner)
        message = new_message(conversation_id, role, content, parent_id)
        message.sqlmodel_update(dict(more))
        held.messages[message.id] = message
        held.conversation.current_id = message.id
        held.conversation.updated_at = message.created_at
        return ConversationMessage(**message.model_dump())

    async def update_message(
        self, message_id: str, owner: str, **changes: Unpack[MessageChanges]
    ) -> None:
        values = {name: value for name, value in changes.items() if value is not None}
        for held in self._held.values():
            if message_id in held.messages and held.conversation.owner == owner:
                held.conversation.updated_at = datetime.now(UTC)
                held.messages[message_id].sqlmodel_update(values)
                return
        raise no_such_conversation()

    def _of(self, conversation_id: str, owner: str) -> _Held:
        held = self._held.get(conversation_id)
        if held is None or held.conversation.owner != owner:
            raise no_such_conversation()
        return held

    def _forget_old(self, now: datetime) -> None:
        by_age = sorted(self._held.values(), key=lambda held: held.conversation.updated_at)
        too_many = len(by_age) - MOST + 1
        for place, held in enumerate(by_age):
            if place < too_many or now - held.conversation.updated_at > KEPT:
                del self._held[held.conversation.id]
