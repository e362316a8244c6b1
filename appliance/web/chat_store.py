"""Where chats are kept: on disk, or, when they are temporary, in memory only."""

from __future__ import annotations

from collections.abc import Mapping
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
from appliance.ledger.tables_assistants import Attachment
from appliance.ledger.tables_chat import Conversation, ConversationMessage
from appliance.ledger.views import ConversationDetail

Held = tuple[Attachment, ...]


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
        self._files: dict[str, dict[str, Held]] = {}

    def of(self, conversation_id: str) -> ChatStore:
        return self._passing if self.is_temporary(conversation_id) else self.kept

    def is_temporary(self, conversation_id: str) -> bool:
        return conversation_id in self._passing

    def new(self, *, temporary: bool) -> ChatStore:
        """Where a new conversation is to be made."""
        return self._passing if temporary else self.kept

    def hold_files(self, conversation_id: str, message_id: str, files: Held) -> None:
        """Keeps the files of a temporary chat's question, as long as there is that chat."""
        self._files = {name: held for name, held in self._files.items() if name in self._passing}
        if files:
            self._files.setdefault(conversation_id, {})[message_id] = files

    def held_files(self, conversation_id: str) -> Mapping[str, Held]:
        return self._files.get(conversation_id, {})
