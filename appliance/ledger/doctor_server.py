"""Is a ledger on PostgreSQL well? What the server itself looks after is left to its own tools."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from appliance.ledger.database import Database
from appliance.ledger.migrations import HEAD
from appliance.ledger.search_index import SERVER_EXTENSIONS, SERVER_INDEX, SERVER_INDEX_MADE

Told = tuple[Literal["good", "note", "bad"], str]
MEGABYTE = 1_000_000

_LOST_TURNS = (
    "SELECT count(*) FROM turn WHERE parent_id <> 0 "
    "AND NOT EXISTS (SELECT 1 FROM turn AS before WHERE before.id = turn.parent_id)"
)
_SCHEMA_IS_THERE = "SELECT to_regclass('alembic_version') IS NOT NULL"
_SEARCH_IS_INDEXED = f"SELECT to_regclass('{SERVER_INDEX}') IS NOT NULL"
_MAKE_SEARCH = "As an administrator of the database run: " + "; ".join(
    [*(f"CREATE EXTENSION IF NOT EXISTS {name}" for name in SERVER_EXTENSIONS), SERVER_INDEX_MADE]
)


def examine_server(database: Database) -> Iterator[Told]:
    """Every finding, as soon as it is made."""
    try:
        with database.engine.connect() as connection:
            yield from _examine(connection)
    except DBAPIError as error:
        reason = " ".join(str(error.orig).split()).rstrip(".")
        yield "bad", f"The server does not answer: {reason}. Check it, and --database-url."


def _examine(connection: Connection) -> Iterator[Told]:
    version = connection.exec_driver_sql("SHOW server_version").scalar_one()
    yield "good", f"PostgreSQL {version} answers."
    schema = _schema(connection)
    yield schema
    if schema[0] != "good":
        return
    lost = connection.exec_driver_sql(_LOST_TURNS).scalar_one()
    if lost:
        yield "bad", f"{lost} messages of chats have lost the ones before them. {RESTORE}"
    else:
        parts = connection.exec_driver_sql("SELECT count(*) FROM part").scalar_one()
        yield (
            "good",
            f"{parts} messages and tools are kept, each once, and each chat is whole.",
        )
    yield _search(connection)
    size = connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one()
    yield "good", f"{size / MEGABYTE:.0f} MB on the server. `backup` copies it by pg_dump."


RESTORE = "A program deleted them past the rules; restore the newest good copy with pg_restore."


def _schema(connection: Connection) -> Told:
    if not connection.exec_driver_sql(_SCHEMA_IS_THERE).scalar_one():
        return "note", "It has no schema of the appliance yet; the first start makes it."
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    if found == HEAD:
        return "good", f"Its schema is the newest, {HEAD}."
    if found is not None and found < HEAD:
        text = f"Its schema is {found}; the next start brings it to {HEAD}, after making a copy."
        return "note", text
    return "bad", f"Its schema {found} is newer than this version of the appliance."


def _search(connection: Connection) -> Told:
    texts = connection.exec_driver_sql("SELECT count(*) FROM searched").scalar_one()
    if connection.exec_driver_sql(_SEARCH_IS_INDEXED).scalar_one():
        return "good", f"The search has an index of {texts} texts."
    return "note", f"The search has to read {texts} texts: its index is missing. {_MAKE_SEARCH};"
