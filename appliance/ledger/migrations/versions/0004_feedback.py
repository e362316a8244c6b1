"""Thumbs, notes, saved views, and the search.

What earlier versions have recorded becomes searchable here too.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

FAILED = "status >= 400 OR error IS NOT NULL"
SLOW = "duration_ms >= 10000"
BROKEN = "error IS NOT NULL"


def upgrade() -> None:
    _create_feedback()
    _create_saved_view()
    _create_searched()
    _create_indexes()


def downgrade() -> None:
    for table in ("searched_text", "searched", "saved_view", "feedback"):
        op.execute(f"DROP TABLE IF EXISTS {table}")
    for name in ("request_by_ip", "request_by_path", "request_failed", "request_slow"):
        op.drop_index(name, "request")
    for name in (
        "generation_by_model",
        "generation_by_dialect",
        "generation_failed",
        "generation_replays",
    ):
        op.drop_index(name, "generation_row")


def _create_feedback() -> None:
    op.create_table(
        "feedback",
        sa.Column("id", sa.Text(), primary_key=True, nullable=False),
        _of_request(),
        sa.Column("rating", sa.Integer()),
        sa.Column("note", sa.Text()),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("feedback_by_request", "feedback", ["request_id", "by"], unique=True)


def _create_saved_view() -> None:
    op.create_table(
        "saved_view",
        sa.Column("id", sa.Text(), primary_key=True, nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("saved_view_by_owner", "saved_view", ["owner", "name"], unique=True)


def _create_searched() -> None:
    op.create_table(
        "searched",
        sa.Column("id", sa.Integer(), primary_key=True, nullable=False),
        _of_request(),
        sa.Column("text", sa.Text(), nullable=False),
    )
    op.create_index("searched_by_request", "searched", ["request_id"])
    from appliance.ledger.search_index import create_index, index_what_is_there

    create_index(op.get_bind())
    index_what_is_there(op.get_bind())


def _create_indexes() -> None:
    op.create_index("request_by_ip", "request", ["client_ip", "id"])
    op.create_index("request_by_path", "request", ["path", "id"])
    _create_partial("request_failed", "request", "id", FAILED)
    _create_partial("request_slow", "request", "id", SLOW)
    op.create_index("generation_by_model", "generation_row", ["model", "request_id"])
    op.create_index("generation_by_dialect", "generation_row", ["dialect", "request_id"])
    _create_partial("generation_failed", "generation_row", "request_id", BROKEN)
    _create_partial("generation_replays", "generation_row", "replay_of", "replay_of IS NOT NULL")


def _of_request() -> sa.Column[str]:
    reference = sa.ForeignKey("request.id", ondelete="CASCADE")
    return sa.Column("request_id", sa.Text(), reference, nullable=False)


def _create_partial(name: str, table: str, column: str, condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, [column], sqlite_where=where, postgresql_where=where)
