"""Texts and programs that people work on, with the versions they have kept."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from appliance.ledger.columns import PlainText, UtcDateTime


class Draft(SQLModel, table=True):
    """A text or program of one person; `kind` is the page it belongs to: write or code."""

    __tablename__ = "draft"
    __table_args__ = (Index("draft_by_owner", "owner", "kind", "updated_at", "id"),)

    id: str = Field(primary_key=True, sa_type=PlainText)
    owner: str = Field(sa_type=PlainText)
    kind: str = Field(sa_type=PlainText)
    title: str = Field(sa_type=PlainText)
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)


class DraftVersion(SQLModel, table=True):
    """A draft as it stood once; `task` made it (empty: its writer), `language` is of code."""

    __tablename__ = "draft_version"
    __table_args__ = (Index("draft_version_by_draft", "draft_id", "id"),)

    id: str = Field(primary_key=True, sa_type=PlainText)
    draft_id: str = Field(foreign_key="draft.id", ondelete="CASCADE", sa_type=PlainText)
    created_at: datetime = Field(sa_type=UtcDateTime)
    text: str = Field(sa_type=PlainText)
    task: str = Field(default="", sa_type=PlainText)
    language: str = Field(default="", sa_type=PlainText)
