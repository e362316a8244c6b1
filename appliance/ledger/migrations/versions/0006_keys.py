"""Scopes, limits, rotation and logging of keys. `scopes` says what `is_admin` said, and more."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

COLUMNS: dict[str, sa.types.TypeEngine[Any]] = {
    "scopes": sa.JSON(),
    "models": sa.JSON(),
    "assistants": sa.JSON(),
    "tokens_per_minute": sa.Integer(),
    "tokens_per_day": sa.Integer(),
    "parallel": sa.Integer(),
    "max_tokens": sa.Integer(),
    "log_content": sa.Text(),
    "old_hash": sa.Text(),
    "grace_until": sa.DateTime(timezone=True),
}


def upgrade() -> None:
    for name, kind in COLUMNS.items():
        wanted = '["chat"]' if name == "scopes" else None
        column = sa.Column(name, kind, nullable=wanted is None, server_default=wanted)
        op.add_column("api_key", column)
    op.execute("""UPDATE api_key SET scopes = '["chat", "admin"]' WHERE is_admin""")
    op.drop_column("api_key", "is_admin")
    op.create_index("ix_api_key_old_hash", "api_key", ["old_hash"])


def downgrade() -> None:
    op.drop_index("ix_api_key_old_hash", "api_key")
    op.add_column(
        "api_key", sa.Column("is_admin", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.execute("""UPDATE api_key SET is_admin = true WHERE scopes LIKE '%"admin"%'""")
    for name in reversed(COLUMNS):
        op.drop_column("api_key", name)
