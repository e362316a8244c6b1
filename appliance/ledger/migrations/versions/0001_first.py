"""The first tables: request, generation, api_key, conversation, message."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_request()
    _create_generation()
    _create_api_key()
    _create_conversation()
    _create_message()


def downgrade() -> None:
    for table in ("message", "conversation", "api_key", "generation", "request"):
        op.drop_table(table)


def _create_request() -> None:
    op.create_table(
        "request",
        sa.Column("id", sa.Text(), primary_key=True, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("duration_ms", sa.Float()),
        sa.Column("client_ip", sa.Text()),
        sa.Column("key_name", sa.Text()),
        sa.Column("user_agent", sa.Text()),
        sa.Column("error", sa.Text()),
    )
    op.create_index("request_by_time", "request", ["created_at"])
    op.create_index("request_by_key", "request", ["key_name", "id"])
    _create_partial_index("request_open", "request", "status IS NULL")


def _create_generation() -> None:
    op.create_table(
        "generation",
        sa.Column("id", sa.Text(), primary_key=True, nullable=False),
        sa.Column(
            "request_id",
            sa.Text(),
            sa.ForeignKey("request.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("precision", sa.Text(), nullable=False),
        sa.Column("engine", sa.Text(), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("input", sa.JSON()),
        sa.Column("output", sa.Text()),
        sa.Column("reasoning", sa.Text()),
        sa.Column("prompt_tokens", sa.Integer()),
        sa.Column("cached_tokens", sa.Integer()),
        sa.Column("completion_tokens", sa.Integer()),
        sa.Column("queue_ms", sa.Float()),
        sa.Column("ttft_ms", sa.Float()),
        sa.Column("duration_ms", sa.Float()),
        sa.Column("finish_reason", sa.Text()),
        sa.Column("error", sa.Text()),
    )
    op.create_index("generation_by_request", "generation", ["request_id"])
    op.create_index(
        "generation_counts",
        "generation",
        ["finish_reason", "prompt_tokens", "cached_tokens", "completion_tokens"],
    )


def _create_api_key() -> None:
    op.create_table(
        "api_key",
        sa.Column("id", sa.Text(), primary_key=True, nullable=False),
        sa.Column("name", sa.Text(), nullable=False, unique=True),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False, unique=True),
        sa.Column("is_admin", sa.Boolean(), nullable=False),
        sa.Column("rate", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.Column("last_used_at", sa.DateTime(timezone=True)),
    )


def _create_conversation() -> None:
    op.create_table(
        "conversation",
        sa.Column("id", sa.Text(), primary_key=True, nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
    )
    op.create_index("conversation_by_owner", "conversation", ["owner", "updated_at", "id"])


def _create_message() -> None:
    op.create_table(
        "message",
        sa.Column("id", sa.Text(), primary_key=True, nullable=False),
        sa.Column(
            "conversation_id",
            sa.Text(),
            sa.ForeignKey("conversation.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("reasoning", sa.Text()),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("request_id", sa.Text(), sa.ForeignKey("request.id", ondelete="SET NULL")),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("message_by_conversation", "message", ["conversation_id", "id"])
    op.create_index("message_by_request", "message", ["request_id"])
    _create_partial_index("message_streaming", "message", "status = 'streaming'")


def _create_partial_index(name: str, table: str, condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, ["id"], sqlite_where=where, postgresql_where=where)
