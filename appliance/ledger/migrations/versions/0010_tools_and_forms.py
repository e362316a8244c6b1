"""Tools and forms whole, each once: what was asked with them can be asked again.

Of earlier rows only the tools' names and the form's kind are known; they stay as they are. And
whoever writes a text writes its words into the search's index too, since a trigger was slow at it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

COLUMNS = ("tools", "form")
BEFORE_INPUT = "id, request_id, model, precision, engine, parameters"
AFTER_INPUT = (
    "output, reasoning, prompt_tokens, cached_tokens, completion_tokens, queue_ms, ttft_ms, "
    "duration_ms, finish_reason, error, reasoning_tokens, tool_calls, cached_from, dialect, "
    "conversation_id, assistant, seed, model_hash, engine_version, queue_place, tpot_ms, "
    "input_bytes, output_bytes, trace_id, joules, replay_of"
)
OWN_PARTS = ", ".join(
    f"(SELECT part.content FROM part WHERE part.id = generation_row.{name}_id) AS {name}"  # noqa: S608
    for name in COLUMNS
)

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
WHEN_ADDED = (
    "CREATE TRIGGER searched_added AFTER INSERT ON searched BEGIN "
    "INSERT INTO searched_text(rowid, text) VALUES (new.id, new.text); END"
)


def upgrade() -> None:
    op.execute("DROP VIEW generation")
    for name in COLUMNS:
        # Alembic would add the reference apart from its column, which SQLite cannot do.
        op.execute(f"ALTER TABLE generation_row ADD COLUMN {name}_id BIGINT REFERENCES part (id)")
        # Without it, each part that is deleted would be looked for in every row.
        given = sa.text(f"{name}_id IS NOT NULL")
        op.create_index(
            f"generation_by_{name}", "generation_row", [f"{name}_id"],
            sqlite_where=given, postgresql_where=given,
        )  # fmt: skip
    _create_view(f"{AFTER_INPUT}, {OWN_PARTS}")
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER searched_added")


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute(WHEN_ADDED)
    op.execute("DROP VIEW generation")
    for name in COLUMNS:
        op.drop_index(f"generation_by_{name}", "generation_row")
    with op.batch_alter_table("generation_row") as table:
        for name in COLUMNS:
            table.drop_column(f"{name}_id")
    _create_view(AFTER_INPUT)


def _create_view(after_input: str) -> None:
    op.execute(
        f"CREATE VIEW generation AS SELECT {BEFORE_INPUT}, CASE WHEN turn_id IS NULL THEN input "  # noqa: S608
        f"ELSE ({WHOLE_INPUT}{GATHERED[op.get_bind().dialect.name]}) END AS input, {after_input} "
        "FROM generation_row"
    )
