"""Conversations and their messages: tables of the ledger, beside `tables`."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

from appliance.ledger.columns import PlainText, UtcDateTime

MessageStatus = Literal["done", "streaming", "stopped", "failed"]


class Conversation(SQLModel, table=True):
    """A chat of one person. A deleted one keeps its row, without title and messages."""

    __tablename__ = "conversation"
    __table_args__ = (Index("conversation_by_owner", "owner", "updated_at", "id"),)

    id: str = Field(primary_key=True, sa_type=PlainText)
    owner: str = Field(sa_type=PlainText)
    title: str = Field(sa_type=PlainText)
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)
    deleted_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class ConversationMessage(SQLModel, table=True):
    """One turn of a chat, as the page shows it; an answer points at its request."""

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
