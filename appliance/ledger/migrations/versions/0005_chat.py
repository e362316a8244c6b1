"""Branches, settings and folders of conversations.

Columns are added at the end; the messages there are become one branch, each after the one before.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

CONVERSATION: dict[str, sa.types.TypeEngine[Any]] = {
    "title_by": sa.Text(),
    "current_id": sa.Text(),
    "system_prompt": sa.Text(),
    "sampling": sa.JSON(),
    "thinking": sa.Boolean(),
    "thinking_budget": sa.Integer(),
    "assistant": sa.Text(),
    "folder": sa.Text(),
    "pinned": sa.Boolean(),
}
MESSAGE: dict[str, sa.types.TypeEngine[Any]] = {
    "parent_id": sa.Text(),
    "thinking_ms": sa.Float(),
    "completion_tokens": sa.Integer(),
    "context_tokens": sa.Integer(),
    "tokens_per_second": sa.Float(),
}
ONE_AFTER_THE_OTHER = """
update message set parent_id = (
    select max(before.id) from message as before
    where before.conversation_id = message.conversation_id and before.id < message.id
)
"""


def upgrade() -> None:
    for name, kind in CONVERSATION.items():
        op.add_column("conversation", sa.Column(name, kind))
    for name, kind in MESSAGE.items():
        op.add_column("message", sa.Column(name, kind))
    op.execute(ONE_AFTER_THE_OTHER)


def downgrade() -> None:
    for name in reversed(MESSAGE):
        op.drop_column("message", name)
    for name in reversed(CONVERSATION):
        op.drop_column("conversation", name)
