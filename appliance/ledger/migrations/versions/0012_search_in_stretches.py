"""On a server: the search's index knows in which stretch of ids a text lies, and no statistics keep
samples of what people have said, which would outlive its deletion."""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

# Columns of text with an order, of which ANALYZE would keep a hundred values.
SAID = {
    "searched": ("text",),
    "generation_row": ("output", "reasoning"),
    "message": ("content", "reasoning"),
    "conversation": ("title", "system_prompt"),
    "attachment": ("text",),
    "draft": ("title",),
    "draft_version": ("text",),
    "feedback": ("note",),
}


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    for name in ("searched_trigrams", "searched_in_stretches"):
        op.execute(f"DROP INDEX IF EXISTS {name}")
    view = connection.exec_driver_sql("SELECT pg_get_viewdef('generation')").scalar_one()
    op.execute("DROP VIEW generation")  # no column that it shows could be touched
    for table, columns in SAID.items():
        # Naming the type again forgets the samples that there are, and changes nothing else.
        changes = ", ".join(f'ALTER "{name}" TYPE text' for name in columns)
        op.execute(f'ALTER TABLE "{table}" {changes}')
        changes = ", ".join(f'ALTER "{name}" SET STATISTICS 0' for name in columns)
        op.execute(f'ALTER TABLE "{table}" {changes}')
    connection.exec_driver_sql(f"CREATE VIEW generation AS {view}")
    from appliance.ledger.search_index import create_index

    create_index(connection)


def downgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    op.execute("DROP INDEX IF EXISTS searched_in_stretches")
    for table, columns in SAID.items():
        for name in columns:
            op.execute(f'ALTER TABLE "{table}" ALTER "{name}" SET STATISTICS -1')
