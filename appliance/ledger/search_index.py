"""The index of the search: how it is made on SQLite and on PostgreSQL, and filled with old rows."""

from __future__ import annotations

import json
import sqlite3

from sqlalchemy import Connection, RowMapping, text
from sqlalchemy.exc import DBAPIError
from sqlmodel import insert

from appliance.ledger.search import STRETCH_BITS, input_text, output_text
from appliance.ledger.tables_feedback import Searched

SECURE_DELETE_SINCE = (3, 42)
SERVER_INDEX = "searched_in_stretches"
SERVER_EXTENSIONS = ("pg_trgm", "btree_gin")
SERVER_INDEX_MADE = (
    f"CREATE INDEX IF NOT EXISTS {SERVER_INDEX} ON searched "
    f"USING gin ((id >> {STRETCH_BITS}), text gin_trgm_ops)"
)

_INSERT = insert(Searched)
_NEXT = text(
    "SELECT request_id, input, output, reasoning FROM generation WHERE request_id > :after "
    "ORDER BY request_id LIMIT 500"
)
_TABLE = """CREATE VIRTUAL TABLE searched_text
USING fts5(text, content='searched', content_rowid='id', tokenize='trigram', detail='none')"""
_WHEN_ADDED = """CREATE TRIGGER searched_added AFTER INSERT ON searched BEGIN
INSERT INTO searched_text(rowid, text) VALUES (new.id, new.text); END"""
_WHEN_REMOVED = """CREATE TRIGGER searched_removed AFTER DELETE ON searched BEGIN
INSERT INTO searched_text(searched_text, rowid, text) VALUES ('delete', old.id, old.text); END"""
_AVAILABLE = text("SELECT count(*) FROM pg_available_extensions WHERE name = ANY(:names)")


def create_index(connection: Connection) -> None:
    """Makes the index over `searched`; called once, by the migration."""
    if connection.dialect.name == "sqlite":
        for statement in (_TABLE, _WHEN_ADDED, _WHEN_REMOVED):
            connection.exec_driver_sql(statement)
        if sqlite3.sqlite_version_info >= SECURE_DELETE_SINCE:
            connection.exec_driver_sql(
                "INSERT INTO searched_text(searched_text, rank) VALUES ('secure-delete', 1)"
            )
    elif _has_extensions(connection):
        connection.exec_driver_sql(SERVER_INDEX_MADE)


def index_what_is_there(connection: Connection) -> None:
    """Makes rows of earlier versions searchable; called once, by the migration."""
    after = ""
    while rows := connection.execute(_NEXT, {"after": after}).mappings().all():
        found = [entry for row in rows for entry in _texts_of(row)]
        if found:
            connection.execute(_INSERT, found)
        after = rows[-1]["request_id"]


def _texts_of(row: RowMapping) -> list[dict[str, str]]:
    asked = json.loads(row["input"]) if isinstance(row["input"], str) else row["input"]
    texts = (input_text(asked), output_text(row["output"], row["reasoning"]))
    return [{"request_id": row["request_id"], "text": found} for found in texts if found]


def _has_extensions(connection: Connection) -> bool:
    """Tries for what the index needs; without it a search reads the texts, and reaches less far."""
    available = connection.execute(_AVAILABLE, {"names": list(SERVER_EXTENSIONS)})
    if available.scalar_one() < len(SERVER_EXTENSIONS):
        return False
    try:
        with connection.begin_nested():
            for name in SERVER_EXTENSIONS:
                connection.exec_driver_sql(f"CREATE EXTENSION IF NOT EXISTS {name}")
    except DBAPIError:  # not allowed to this user
        return False
    return True
