"""The tables. `docs/ledger.md` explains them to the person who owns the machine.

Column order is deliberate: `select *` reads like a sentence; what came with a later schema
stands at the end. Durations are milliseconds.
Everything is nullable that is not known when a row is opened: an open request has no
`status`, an open generation no `finish_reason`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index, text
from sqlmodel import Field, SQLModel

from appliance.ledger.columns import PlainText, UtcDateTime

OWNER = "owner"


class RequestRecord(SQLModel, table=True):
    """One HTTP request, whatever became of it."""

    __tablename__ = "request"
    __table_args__ = (
        Index("request_by_time", "created_at"),
        Index("request_by_key", "key_name", "id"),
        Index(
            "request_open",
            "id",
            sqlite_where=text("status IS NULL"),
            postgresql_where=text("status IS NULL"),
        ),
    )

    id: str = Field(primary_key=True, sa_type=PlainText)
    created_at: datetime = Field(sa_type=UtcDateTime)
    method: str = Field(sa_type=PlainText)
    path: str = Field(sa_type=PlainText)
    status: int | None = None
    duration_ms: float | None = None
    client_ip: str | None = Field(default=None, sa_type=PlainText)
    key_name: str | None = Field(default=None, sa_type=PlainText)
    user_agent: str | None = Field(default=None, sa_type=PlainText)
    error: str | None = Field(default=None, sa_type=PlainText)
    client_request_id: str | None = Field(default=None, sa_type=PlainText)


class GenerationRecord(SQLModel, table=True):
    """What the engine was asked within a request, and what it answered."""

    __tablename__ = "generation"
    __table_args__ = (
        Index("generation_by_request", "request_id"),
        # Totals and open rows are read from this index alone, without touching the long texts.
        Index(
            "generation_counts",
            "finish_reason",
            "prompt_tokens",
            "cached_tokens",
            "completion_tokens",
        ),
    )

    id: str = Field(primary_key=True, sa_type=PlainText)
    request_id: str = Field(foreign_key="request.id", ondelete="CASCADE", sa_type=PlainText)
    model: str = Field(sa_type=PlainText)
    precision: str = Field(sa_type=PlainText)
    engine: str = Field(sa_type=PlainText)
    parameters: dict[str, Any] = Field(sa_type=JSON)
    input: Any = Field(default=None, nullable=True, sa_type=JSON(none_as_null=True))
    output: str | None = Field(default=None, sa_type=PlainText)
    reasoning: str | None = Field(default=None, sa_type=PlainText)
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    queue_ms: float | None = None
    ttft_ms: float | None = None
    duration_ms: float | None = None
    finish_reason: str | None = Field(default=None, sa_type=PlainText)
    error: str | None = Field(default=None, sa_type=PlainText)
    reasoning_tokens: int | None = None
    tool_calls: Any = Field(default=None, nullable=True, sa_type=JSON(none_as_null=True))
    # No foreign key: the row stays an answer given again when the first one is swept away.
    cached_from: str | None = Field(default=None, sa_type=PlainText)
