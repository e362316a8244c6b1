"""Assistants that people have made, and files attached to messages: beside `tables`."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, Index
from sqlmodel import Field, SQLModel

from appliance.ledger.columns import PlainText, UtcDateTime


class OwnAssistant(SQLModel, table=True):
    """An assistant of one person; with `for_everyone`, everybody may talk to it.

    `origins` are the sites that may show it in a frame; `faq` is what a service assistant knows.
    """

    __tablename__ = "assistant"
    __table_args__ = (Index("assistant_by_owner", "owner", "id"),)

    id: str = Field(primary_key=True, sa_type=PlainText)
    owner: str = Field(sa_type=PlainText)
    kind: str = Field(sa_type=PlainText)
    name: str = Field(sa_type=PlainText)
    description: str = Field(sa_type=PlainText)
    instructions: str = Field(sa_type=PlainText)
    greeting: str = Field(sa_type=PlainText)
    replies: list[str] = Field(sa_type=JSON)
    temperature: float | None = None
    thinking: bool | None = None
    faq: str = Field(sa_type=PlainText)
    handover: str = Field(sa_type=PlainText)
    origins: list[str] = Field(sa_type=JSON)
    for_everyone: bool = False
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)


class Attachment(SQLModel, table=True):
    """The text of a file. Without a message it is a draft, and forgotten after a day.

    `tokens` None: the engine could not count them.
    """

    __tablename__ = "attachment"
    __table_args__ = (Index("attachment_by_message", "message_id", "id"),)

    id: str = Field(primary_key=True, sa_type=PlainText)
    owner: str = Field(sa_type=PlainText)
    message_id: str | None = Field(
        default=None, foreign_key="message.id", ondelete="CASCADE", sa_type=PlainText
    )
    name: str = Field(sa_type=PlainText)
    kind: str = Field(sa_type=PlainText)
    bytes: int
    pages: int | None = None
    tokens: int | None = None
    text: str = Field(sa_type=PlainText)
    created_at: datetime = Field(sa_type=UtcDateTime)
