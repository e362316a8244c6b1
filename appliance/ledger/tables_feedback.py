"""What people think of answers, the views they saved, and the texts that are searched."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from appliance.ledger.columns import PlainText, UtcDateTime


class Feedback(SQLModel, table=True):
    """One person's opinion of one request's answer."""

    __tablename__ = "feedback"
    __table_args__ = (Index("feedback_by_request", "request_id", "by", unique=True),)

    id: str = Field(primary_key=True, sa_type=PlainText)
    request_id: str = Field(foreign_key="request.id", ondelete="CASCADE", sa_type=PlainText)
    rating: int | None = None
    note: str | None = Field(default=None, sa_type=PlainText)
    by: str = Field(sa_type=PlainText)
    created_at: datetime = Field(sa_type=UtcDateTime)


class SavedView(SQLModel, table=True):
    """A selection of the history under a name. `query` is what stands behind the `?`."""

    __tablename__ = "saved_view"
    __table_args__ = (Index("saved_view_by_owner", "owner", "name", unique=True),)

    id: str = Field(primary_key=True, sa_type=PlainText)
    owner: str = Field(sa_type=PlainText)
    name: str = Field(sa_type=PlainText)
    query: str = Field(sa_type=PlainText)
    created_at: datetime = Field(sa_type=UtcDateTime)


class Searched(SQLModel, table=True):
    """A text that the search looks at: what a request asked anew, or what it was answered.

    `id` grows with time. It goes when its request goes, and with it its place in the index.
    """

    __tablename__ = "searched"
    __table_args__ = (Index("searched_by_request", "request_id"),)

    id: int | None = Field(default=None, primary_key=True)
    request_id: str = Field(foreign_key="request.id", ondelete="CASCADE", sa_type=PlainText)
    text: str = Field(sa_type=PlainText)
