"""A ledger filled past the recorder, as a million requests would otherwise take hours.

The rows are those that the recorder writes; the search index is made as always on SQLite, and
afterwards on PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from appliance.ledger.database import Database
from appliance.ledger.schema import metadata
from appliance.ledger.search_index import SERVER_INDEX, create_index
from bench.ledger_rows import TABLES, Invented, Row

FAST = ("PRAGMA cache_size = -400000", "PRAGMA synchronous = OFF")
COUNTED = ("part", "turn", "searched")


def fill(database: Database, invented: Invented, told: Callable[[int], None]) -> None:
    """Everything `invented` has, into a database that is empty; `told` how far it is."""
    done = 0
    begin, add, end = SQLITE if database.is_sqlite else POSTGRESQL
    with database.engine.connect() as connection:
        begin(connection)
        for rows in invented.batches():
            with connection.begin():
                for table in TABLES:
                    add(connection, table, rows[table])
            done += len(rows["request"])
            told(done)
        with connection.begin():
            end(connection)
        connection.invalidate()  # what made it fast is not that of every day


def is_empty(database: Database) -> bool:
    with database.engine.connect() as connection:
        return connection.exec_driver_sql("SELECT 1 FROM request LIMIT 1").first() is None


def _columns(table: str) -> list[str]:
    return list(metadata.tables[table].columns.keys())


def _values(table: str, rows: Iterable[Row]) -> Iterable[list[Any]]:
    names = _columns(table)
    return ([row.get(name) for name in names] for row in rows)


def _begin_sqlite(connection: Connection) -> None:
    cursor = connection.connection.cursor()  # these are not for within a transaction
    for pragma in FAST:
        cursor.execute(pragma)


def _add_to_sqlite(connection: Connection, table: str, rows: list[Row]) -> None:
    marks = ", ".join("?" * len(_columns(table)))
    values = [[_for_sqlite(value) for value in row] for row in _values(table, rows)]
    cursor = connection.connection.cursor()
    cursor.executemany(f"INSERT INTO {table} VALUES ({marks})", values)  # noqa: S608 - ours
    if table == "searched":
        texts = [(row["id"], row["text"]) for row in rows]
        cursor.executemany("INSERT INTO searched_text(rowid, text) VALUES (?, ?)", texts)


def _for_sqlite(value: Any) -> Any:
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}" if isinstance(value, datetime) else value


def _end_sqlite(_connection: Connection) -> None:
    """The file is complete."""


def _begin_postgresql(connection: Connection) -> None:
    with connection.begin():
        connection.exec_driver_sql(f"DROP INDEX IF EXISTS {SERVER_INDEX}")


def _add_to_postgresql(connection: Connection, table: str, rows: list[Row]) -> None:
    names = ", ".join(_columns(table))
    with connection.connection.cursor().copy(f"COPY {table} ({names}) FROM STDIN") as copy:
        for row in _values(table, rows):
            copy.write_row(row)


def _end_postgresql(connection: Connection) -> None:
    create_index(connection)
    for table in COUNTED:
        last = f"SELECT setval('{table}_id_seq', max(id)) FROM {table}"  # noqa: S608
        connection.exec_driver_sql(last)
    connection.exec_driver_sql("ANALYZE")


SQLITE = (_begin_sqlite, _add_to_sqlite, _end_sqlite)
POSTGRESQL = (_begin_postgresql, _add_to_postgresql, _end_postgresql)
