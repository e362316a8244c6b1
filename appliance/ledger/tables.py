"""The tables. `docs/ledger.md` explains them to the person who owns the machine.

Column order is deliberate: `select *` reads like a sentence; what came with a later schema
stands at the end. Durations are milliseconds.
Everything is nullable that is not known when a row is opened: an open request has no
`status`, an open generation no `finish_reason`.

What a generation was asked stands in `part`, one message each and every message once; `turn`
strings them together. So do its tools and its form. `generation` is a view that tells all of it
as one row.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Index, LargeBinary, text
from sqlmodel import Field, SQLModel

from appliance.ledger.columns import PlainText, UtcDateTime

OWNER = "owner"


def _partial(name: str, column: str, condition: str) -> Index:
    where = text(condition)
    return Index(name, column, sqlite_where=where, postgresql_where=where)


class RequestRecord(SQLModel, table=True):
    """One HTTP request, whatever became of it."""

    __tablename__ = "request"
    __table_args__ = (
        Index("request_by_time", "created_at"),
        Index("request_by_key", "key_name", "id"),
        _partial("request_open", "id", "status IS NULL"),
        Index("request_by_ip", "client_ip", "id"),
        Index("request_by_path", "path", "id"),
        _partial("request_failed", "id", "status >= 400 OR error IS NOT NULL"),
        _partial("request_slow", "id", "duration_ms >= 10000"),
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
    log_content: str | None = Field(default=None, sa_type=PlainText)
    front: str | None = Field(default=None, sa_type=PlainText)


class GenerationColumns(SQLModel):
    """What the engine was asked within a request, and what it answered."""

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
    dialect: str | None = Field(default=None, sa_type=PlainText)
    conversation_id: str | None = Field(default=None, sa_type=PlainText)
    assistant: str | None = Field(default=None, sa_type=PlainText)
    seed: int | None = Field(default=None, sa_type=BigInteger)
    model_hash: str | None = Field(default=None, sa_type=PlainText)
    engine_version: str | None = Field(default=None, sa_type=PlainText)
    queue_place: int | None = None
    tpot_ms: float | None = None
    input_bytes: int | None = Field(default=None, sa_type=BigInteger)
    output_bytes: int | None = Field(default=None, sa_type=BigInteger)
    trace_id: str | None = Field(default=None, sa_type=PlainText)
    joules: float | None = None
    # No foreign keys here either: a note outlives what it points at.
    replay_of: str | None = Field(default=None, sa_type=PlainText)


class GenerationRecord(GenerationColumns, table=True):
    """A generation as it is read, with its whole input. A view: nothing is written here."""

    __tablename__ = "generation"
    __table_args__ = {"info": {"view": True}}

    tools: Any = Field(default=None, nullable=True, sa_type=JSON(none_as_null=True))
    form: Any = Field(default=None, nullable=True, sa_type=JSON(none_as_null=True))


class GenerationStored(GenerationColumns, table=True):
    """A generation as it is kept. `input` is that of rows from before there were parts."""

    __tablename__ = "generation_row"
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
        Index("generation_by_turn", "turn_id"),
        Index("generation_by_model", "model", "request_id"),
        Index("generation_by_dialect", "dialect", "request_id"),
        _partial("generation_failed", "request_id", "error IS NOT NULL"),
        _partial("generation_replays", "replay_of", "replay_of IS NOT NULL"),
        _partial("generation_by_tools", "tools_id", "tools_id IS NOT NULL"),
        _partial("generation_by_form", "form_id", "form_id IS NOT NULL"),
    )

    turn_id: int | None = Field(default=None, foreign_key="turn.id", sa_type=BigInteger)
    tools_id: int | None = Field(default=None, foreign_key="part.id", sa_type=BigInteger)
    form_id: int | None = Field(default=None, foreign_key="part.id", sa_type=BigInteger)


class Part(SQLModel, table=True):
    """A message, a raw prompt, tools or a form, as JSON: once, however often it was sent."""

    __tablename__ = "part"

    id: int | None = Field(default=None, primary_key=True)
    hash: bytes = Field(unique=True, sa_type=LargeBinary)
    content: Any = Field(nullable=False, sa_type=JSON)


class Turn(SQLModel, table=True):
    """A part in its place: after the turn `parent_id`, or at the beginning (0).

    `hash` is that of everything up to here, so a chat that grows finds what is already there.
    """

    __tablename__ = "turn"
    __table_args__ = (Index("turn_by_parent", "parent_id"), Index("turn_by_part", "part_id"))

    id: int | None = Field(default=None, primary_key=True)
    parent_id: int
    part_id: int = Field(foreign_key="part.id")
    hash: bytes = Field(unique=True, sa_type=LargeBinary)
