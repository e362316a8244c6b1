"""Where chats are kept: on disk, or, when they are temporary, in memory only."""

from __future__ import annotations

from typing import Protocol, Unpack

from appliance.domain import Role
from appliance.ledger.conversation_changes import (
    ConversationChanges,
    ConversationChoices,
    MessageChanges,
    MessageFacts,
)
from appliance.ledger.conversation_memory import PassingConversations
from appliance.ledger.conversations import Conversations
from appliance.ledger.tables_chat import Conversation, ConversationMessage
from appliance.ledger.views import ConversationDetail


class ChatStore(Protocol):
    """What both places promise. Raises NotFound for what is not there or is not `owner`'s."""

    async def create(
        self, owner: str, *, title: str = "", **chosen: Unpack[ConversationChoices]
    ) -> Conversation: ...

    async def get(self, id: str, owner: str) -> ConversationDetail: ...  # noqa: A002

    async def change(self, id: str, owner: str, **changes: Unpack[ConversationChanges]) -> None: ...  # noqa: A002

    async def delete(self, id: str, owner: str) -> None: ...  # noqa: A002

    async def add_message(
        self,
        conversation_id: str,
        owner: str,
        *,
        role: Role,
        content: str,
        parent_id: str | None = None,
        **more: Unpack[MessageFacts],
    ) -> ConversationMessage: ...

    async def update_message(
        self, message_id: str, owner: str, **changes: Unpack[MessageChanges]
    ) -> None: ...


class Chats:
    """Finds the place of a conversation by its id. Belongs to one event loop."""

    def __init__(self, kept: Conversations) -> None:
        self.kept = kept
        self._passing = PassingConversations()

    def of(self, conversation_id: str) -> ChatStore:
        return self._passing if self.is_temporary(conversation_id) else self.kept

    def is_temporary(self, conversation_id: str) -> bool:
        return conversation_id in self._passing

    def new(self, *, temporary: bool) -> ChatStore:
        """Where a new conversation is to be made."""
        return self._passing if temporary else self.kept
