"""Tool calls, tokens of thinking, answers given again, and the client's own id of a request.

Columns are added at the end: that costs nothing, where any other place would copy every row.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

GENERATION: dict[str, sa.types.TypeEngine[Any]] = {
    "reasoning_tokens": sa.Integer(),
    "tool_calls": sa.JSON(),
    "cached_from": sa.Text(),
}


def upgrade() -> None:
    op.add_column("request", sa.Column("client_request_id", sa.Text()))
    for name, kind in GENERATION.items():
        op.add_column("generation", sa.Column(name, kind))


def downgrade() -> None:
    for name in reversed(GENERATION):
        op.drop_column("generation", name)
    op.drop_column("request", "client_request_id")
