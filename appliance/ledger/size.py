"""How much room the rows of the ledger take, without what deleted rows have left behind.

A file tells exactly. A server tells how large its tables are, so how full they are is measured on
a sample of their pages: right to about a tenth.
"""

from __future__ import annotations

from sqlalchemy import Table
from sqlmodel import Session

from appliance.ledger.database import Database
from appliance.ledger.schema import metadata

# A row's header and its pointer in the page.
ROW_BYTES = 28
SAMPLED_BYTES = 80_000_000


def used_bytes(session: Session) -> int:
    """New rows fill what is free before the database grows again. Reads, slowly on a server."""
    if session.get_bind().dialect.name == "sqlite":
        return _used_in_file(session)
    return sum(_used_by(session, table) for table in _tables())


def make_reusable(database: Database) -> None:
    """What deleted rows have left on a server is for new rows from now on. Blocks.

    The server's files stay as large as they are, but for empty pages at their end.
    """
    names = ", ".join(f'"{table.name}"' for table in _tables())
    with database.engine.connect() as connection:
        alone = connection.execution_options(isolation_level="AUTOCOMMIT")
        alone.exec_driver_sql(f"VACUUM {names}")


def _tables() -> list[Table]:
    return [table for table in metadata.sorted_tables if not table.info.get("view")]


def _used_in_file(session: Session) -> int:
    pragmas = ("page_count", "freelist_count", "page_size")
    connection = session.connection()
    pages, free, size = (
        int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()) for name in pragmas
    )
    return (pages - free) * size


def _used_by(session: Session, table: Table) -> int:
    """Its indexes count as full as the table itself."""
    name = f"'\"{table.name}\"'"
    sizes = f"SELECT pg_table_size({name}), pg_total_relation_size({name})"
    own, total = session.connection().exec_driver_sql(sizes).one()
    if not own:
        return 0
    share = min(100.0, 100 * SAMPLED_BYTES / own)
    stored = "coalesce(pg_column_size({}), 0)"  # as it lies there: compressed, if it is
    columns = " + ".join(stored.format(f'"{column.name}"') for column in table.columns)
    rows = (
        f"SELECT coalesce(sum({ROW_BYTES} + {columns}), 0) "  # noqa: S608 - names of ours
        f'FROM "{table.name}" TABLESAMPLE SYSTEM ({share})'
    )
    found = session.connection().exec_driver_sql(rows).scalar_one()
    return int(total * min(1.0, float(found) * 100 / share / own))
