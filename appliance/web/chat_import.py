"""A chat from a file: our own JSON with all its branches, or a plain list of messages.

Everything in the file is a stranger's word: checked, cut to what we know, and given new ids.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from appliance.errors import InvalidRequest
from appliance.ledger.conversation_changes import new_message
from appliance.ledger.ids import new_id
from appliance.ledger.tables_chat import Conversation, ConversationMessage
from appliance.web.chat_messages import title_of
from appliance.web.chat_settings import BUDGET, KNOBS, MAX_SYSTEM_PROMPT, tuning_from

MAX_BYTES = 20_000_000
MAX_MESSAGES = 10_000


class _Message(BaseModel):
    model_config = ConfigDict(extra="ignore")

    id: str | None = None
    parent: str | None = None
    role: Literal["user", "assistant"]
    content: str
    reasoning: str | None = None
    status: Literal["done", "stopped", "failed", "streaming"] = "done"
    thinking_ms: float | None = None
    completion_tokens: int | None = None


class _Settings(BaseModel):
    model_config = ConfigDict(extra="ignore")

    system_prompt: Annotated[str, Field(max_length=MAX_SYSTEM_PROMPT)] | None = None
    sampling: dict[str, Any] = {}
    thinking: bool | None = None
    thinking_budget: int | None = None
    folder: Annotated[str, Field(max_length=60)] | None = None


class _Chat(BaseModel):
    model_config = ConfigDict(extra="ignore")

    format: Literal["appliance-chat"] | None = None
    version: Literal[1] = 1
    title: Annotated[str, Field(max_length=2000)] = ""
    current: str | None = None
    settings: _Settings = _Settings()
    messages: Annotated[list[_Message], Field(min_length=1, max_length=MAX_MESSAGES)]


def read(content: bytes, owner: str) -> tuple[Conversation, tuple[ConversationMessage, ...]]:
    """The chat as rows of `owner`. Raises InvalidRequest that says what is wrong, and where."""
    try:
        chat = _Chat.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidRequest(
            "This is not a chat that can be read: %(place)s: %(problem)s. "
            "Choose a JSON file that was exported here, or one with a list of messages.",
            param="file",
            place=".".join(map(str, first["loc"])) or "JSON",
            problem=first["msg"],
        ) from None
    now = datetime.now(UTC)
    made = Conversation(id=new_id(), owner=owner, title="", created_at=now, updated_at=now)
    messages, new_ids = _messages(chat, made.id)
    made.title = " ".join(chat.title.split())[:200] or title_of(chat.messages[0].content)
    made.title_by = "person"
    made.current_id = new_ids.get(chat.current or "", messages[-1].id)
    _settle(made, chat.settings)
    return made, messages


def _messages(
    chat: _Chat, conversation_id: str
) -> tuple[tuple[ConversationMessage, ...], dict[str, str]]:
    """With ids of ours. A message without a parent's name follows the one before it."""
    named = any(message.id for message in chat.messages)
    new_ids: dict[str, str] = {}
    made: list[ConversationMessage] = []
    for message in chat.messages:
        before = made[-1].id if made else None
        parent = _known(new_ids, message.parent) if named else before
        row = new_message(conversation_id, message.role, message.content, parent)
        row.status = "stopped" if message.status == "streaming" else message.status
        row.reasoning, row.thinking_ms = message.reasoning, message.thinking_ms
        row.completion_tokens = message.completion_tokens
        made.append(row)
        if message.id:
            new_ids[message.id] = row.id
    return tuple(made), new_ids


def _known(new_ids: dict[str, str], parent: str | None) -> str | None:
    if parent is None:
        return None
    if parent not in new_ids:
        raise InvalidRequest(
            "This is not a chat that can be read: the message “%(parent)s”, which another one "
            "follows, is not in the file before it.",
            param="file",
            parent=parent[:60],
        )
    return new_ids[parent]


def _settle(conversation: Conversation, settings: _Settings) -> None:
    """Settings pass the same checks as those of the panel."""
    numbers = {knob.name: str(settings.sampling.get(knob.name) or "") for knob in KNOBS}
    if settings.thinking_budget is not None:
        numbers[BUDGET.name] = str(settings.thinking_budget)
    tuning = tuning_from(numbers)
    conversation.system_prompt = settings.system_prompt
    conversation.sampling = dict(tuning.sampling)
    conversation.thinking = settings.thinking
    conversation.thinking_budget = tuning.thinking_budget
    conversation.folder = settings.folder
