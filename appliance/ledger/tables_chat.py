"""Conversations and their messages: tables of the ledger, beside `tables`."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import JSON, Index, text
from sqlmodel import Field, SQLModel

from appliance.ledger.columns import PlainText, UtcDateTime

MessageStatus = Literal["done", "streaming", "stopped", "failed"]
# Who gave a title: the first words of the question, the model, or the person.
TitleBy = Literal["prompt", "model", "person"]


class Conversation(SQLModel, table=True):
    """A chat of one person. A deleted one keeps its row, without title, settings and messages.

    `current_id` is the last message of the branch that was looked at last; None: the newest.
    """

    __tablename__ = "conversation"
    __table_args__ = (Index("conversation_by_owner", "owner", "updated_at", "id"),)

    id: str = Field(primary_key=True, sa_type=PlainText)
    owner: str = Field(sa_type=PlainText)
    title: str = Field(sa_type=PlainText)
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)
    deleted_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    title_by: str | None = Field(default=None, sa_type=PlainText)
    current_id: str | None = Field(default=None, sa_type=PlainText)
    system_prompt: str | None = Field(default=None, sa_type=PlainText)
    sampling: dict[str, Any] | None = Field(
        default=None, nullable=True, sa_type=JSON(none_as_null=True)
    )
    thinking: bool | None = None
    thinking_budget: int | None = None
    assistant: str | None = Field(default=None, sa_type=PlainText)
    folder: str | None = Field(default=None, sa_type=PlainText)
    pinned: bool | None = None


class ConversationMessage(SQLModel, table=True):
    """One turn of a chat, as the page shows it; an answer points at its request.

    Messages with one parent are each other's alternatives: a question asked in other words, an
    answer given again. `context_tokens` is how much of the model's context is used after it.
    """

    __tablename__ = "message"
    __table_args__ = (
        Index("message_by_conversation", "conversation_id", "id"),
        Index("message_by_request", "request_id"),
        Index(
            "message_streaming",
            "id",
            sqlite_where=text("status = 'streaming'"),
            postgresql_where=text("status = 'streaming'"),
        ),
    )

    id: str = Field(primary_key=True, sa_type=PlainText)
    conversation_id: str = Field(
        foreign_key="conversation.id", ondelete="CASCADE", sa_type=PlainText
    )
    role: str = Field(sa_type=PlainText)
    content: str = Field(sa_type=PlainText)
    reasoning: str | None = Field(default=None, sa_type=PlainText)
    status: str = Field(sa_type=PlainText)
    error: str | None = Field(default=None, sa_type=PlainText)
    request_id: str | None = Field(
        default=None, foreign_key="request.id", ondelete="SET NULL", sa_type=PlainText
    )
    created_at: datetime = Field(sa_type=UtcDateTime)
    # No foreign key: a conversation comes and goes as a whole.
    parent_id: str | None = Field(default=None, sa_type=PlainText)
    thinking_ms: float | None = None
    completion_tokens: int | None = None
    context_tokens: int | None = None
    tokens_per_second: float | None = None
