"""What may be chosen and changed of a conversation and of a message, by name and type."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypedDict

from appliance.errors import NotFound
from appliance.ledger.ids import new_id
from appliance.ledger.tables_chat import ConversationMessage, MessageStatus, TitleBy


class ConversationChoices(TypedDict, total=False):
    """What a conversation may be made with, besides its title."""

    title_by: TitleBy
    current_id: str | None
    system_prompt: str | None
    sampling: dict[str, Any] | None
    thinking: bool | None
    thinking_budget: int | None
    assistant: str | None
    folder: str | None
    pinned: bool | None


class ConversationChanges(ConversationChoices, total=False):
    """What is given is changed, None empties a field, what is left out stays."""

    title: str


class MessageFacts(TypedDict, total=False):
    """What a message may be made with, besides its text."""

    reasoning: str | None
    status: MessageStatus | None
    error: str | None
    request_id: str | None
    thinking_ms: float | None
    completion_tokens: int | None
    context_tokens: int | None
    tokens_per_second: float | None


class MessageChanges(MessageFacts, total=False):
    """What is given is changed; None leaves a field as it is, so nothing is emptied by it."""

    content: str | None


def new_message(
    conversation_id: str, role: str, content: str, parent_id: str | None
) -> ConversationMessage:
    return ConversationMessage(
        id=new_id(),
        conversation_id=conversation_id,
        role=role,
        content=content,
        status="done",
        created_at=datetime.now(UTC),
        parent_id=parent_id,
    )


def no_such_conversation() -> NotFound:
    return NotFound("This conversation does not exist, or is not yours.")
