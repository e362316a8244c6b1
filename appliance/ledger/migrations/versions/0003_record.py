"""What a request was made of; and every message of its input once, however often it is sent.

The table `generation` becomes `generation_row`. `generation` is a view over it from here on, and
still shows the whole input of every row: what was stored before stays where it is.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

GENERATION: dict[str, sa.types.TypeEngine[Any]] = {
    "dialect": sa.Text(),
    "conversation_id": sa.Text(),
    "assistant": sa.Text(),
    "seed": sa.BigInteger(),
    "model_hash": sa.Text(),
    "engine_version": sa.Text(),
    "queue_place": sa.Integer(),
    "tpot_ms": sa.Float(),
    "input_bytes": sa.BigInteger(),
    "output_bytes": sa.BigInteger(),
    "trace_id": sa.Text(),
    "joules": sa.Float(),
    "replay_of": sa.Text(),
}
BEFORE_INPUT = "id, request_id, model, precision, engine, parameters"
AFTER_INPUT = (
    "output, reasoning, prompt_tokens, cached_tokens, completion_tokens, queue_ms, ttft_ms, "
    "duration_ms, finish_reason, error, reasoning_tokens, tool_calls, cached_from, "
) + ", ".join(GENERATION)

# The last turn first, then the one before it, and so on; then put in order. A raw prompt is a
# JSON string and stands alone.
WHOLE_INPUT = """
  WITH RECURSIVE said (part_id, before, place) AS (
    SELECT turn.part_id, turn.parent_id, 0 FROM turn WHERE turn.id = generation_row.turn_id
    UNION ALL
    SELECT turn.part_id, turn.parent_id, said.place + 1
    FROM said JOIN turn ON turn.id = said.before
  )
"""
GATHERED = {
    "sqlite": """
  SELECT CASE WHEN max(json_type(content)) = 'text' THEN max(content)
    ELSE json_group_array(json(content)) END
  FROM (
    SELECT part.content FROM said JOIN part ON part.id = said.part_id ORDER BY said.place DESC
  )""",
    "postgresql": """
  SELECT CASE WHEN max(json_typeof(content)) = 'string' THEN (array_agg(content))[1]
    ELSE json_agg(content ORDER BY place DESC) END
  FROM said JOIN part ON part.id = said.part_id""",
}


def upgrade() -> None:
    op.add_column("request", sa.Column("log_content", sa.Text()))
    _create_parts()
    op.rename_table("generation", "generation_row")
    for name, kind in GENERATION.items():
        op.add_column("generation_row", sa.Column(name, kind))
    # Alembic would add the reference apart from its column, which SQLite cannot do.
    op.execute("ALTER TABLE generation_row ADD COLUMN turn_id BIGINT REFERENCES turn (id)")
    op.create_index("generation_by_turn", "generation_row", ["turn_id"])
    op.execute(
        f"CREATE VIEW generation AS SELECT {BEFORE_INPUT}, CASE WHEN turn_id IS NULL THEN input "  # noqa: S608
        f"ELSE ({WHOLE_INPUT}{GATHERED[op.get_bind().dialect.name]}) END AS input, {AFTER_INPUT} "
        "FROM generation_row"
    )


def downgrade() -> None:
    op.execute(
        "UPDATE generation_row SET input = "
        "(SELECT whole.input FROM generation AS whole WHERE whole.id = generation_row.id)"
    )
    op.execute("DROP VIEW generation")
    op.drop_index("generation_by_turn", "generation_row")
    with op.batch_alter_table("generation_row") as table:
        for name in ("turn_id", *reversed(GENERATION)):
            table.drop_column(name)
    op.rename_table("generation_row", "generation")
    op.drop_table("turn")
    op.drop_table("part")
    op.drop_column("request", "log_content")


def _create_parts() -> None:
    op.create_table(
        "part",
        sa.Column("id", sa.Integer(), primary_key=True, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False, unique=True),
        sa.Column("content", sa.JSON(), nullable=False),
    )
    op.create_table(
        "turn",
        sa.Column("id", sa.Integer(), primary_key=True, nullable=False),
        sa.Column("parent_id", sa.Integer(), nullable=False),
        sa.Column("part_id", sa.Integer(), sa.ForeignKey("part.id"), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False, unique=True),
    )
    op.create_index("turn_by_parent", "turn", ["parent_id"])
    op.create_index("turn_by_part", "turn", ["part_id"])
