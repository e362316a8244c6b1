"""How each kind of database is opened: SQLite in a file, PostgreSQL on a server.

All that is peculiar to a connection of either stands here. It knows no table and no query.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from appliance.errors import SetupError
from appliance.ledger.columns import readable_json

BUSY_TIMEOUT_SECONDS = 5.0
CONNECT_TIMEOUT_SECONDS = 5
_WAL_KEPT_BYTES = 64 * 1024 * 1024
_POSTGRESQL = ("postgresql", "postgres")
# Whoever holds this lock is the one writer. Waiting for it ends like waiting for SQLite's.
_TAKE_WRITE_LOCK = f"SELECT pg_advisory_xact_lock({0x1ED6E4})"
_TAKE_UPDATE_LOCK = f"SELECT pg_advisory_xact_lock({0x1ED6E5})"


def parse_url(url: str) -> URL:
    """`url` with the driver that we install. Raises SetupError for one that cannot be served."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise SetupError(
            "The database URL cannot be read. Give one like sqlite:////home/me/appliance.db, or "
            "postgresql://USER:PASSWORD@HOST/NAME."
        ) from error
    if parsed.drivername in _POSTGRESQL:
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise SetupError(
            "The ledger needs a file: a database in memory would forget every request. "
            "Give a URL like sqlite:////home/me/appliance.db."
        )
    return parsed


def sqlite_file(url: URL) -> Path | None:
    """The file behind `url`, or None when it is not a plain SQLite path."""
    if url.get_backend_name() != "sqlite" or not url.database or url.database.startswith("file:"):
        return None
    return Path(url.database)


def make_engine(url: URL, connections: int) -> Engine:
    """An engine that keeps so many connections and opens none yet. Raises SetupError."""
    backend = url.get_backend_name()
    options: dict[str, Any] = {"connect_args": {"timeout": BUSY_TIMEOUT_SECONDS}}
    if backend == "postgresql":
        # A server may have been restarted since a connection was last used.
        options = {"pool_pre_ping": True, "connect_args": _connect_args(url)}
    elif backend != "sqlite":
        raise SetupError(
            "The ledger cannot be kept in %(backend)s. Give a URL of SQLite or PostgreSQL, or "
            "leave out --database-url to use SQLite.",
            backend=backend,
        )
    try:
        engine = create_engine(
            url,
            json_serializer=readable_json,
            hide_parameters=True,  # a failed statement must not carry prompts into the log
            pool_size=connections,
            **options,
        )
    except (NoSuchModuleError, ImportError) as error:
        raise SetupError(
            "No driver is installed for the database %(driver)s. Write postgresql://…, for which "
            "psycopg is installed, or leave out --database-url to use SQLite.",
            driver=url.drivername,
        ) from error
    if backend == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        event.listen(engine, "begin", _begin_postgresql)
    return engine


def _connect_args(url: URL) -> dict[str, Any]:
    return {} if "connect_timeout" in url.query else {"connect_timeout": CONNECT_TIMEOUT_SECONDS}


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    # Python's driver would begin transactions by rules of its own; `_begin_sqlite` does it.
    connection.isolation_level = None
    if connection.execute("PRAGMA page_count").fetchone() == (0,):
        # Only a new file can be one that gives back the room of what was deleted.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    # FULL: a committed row survives a power cut. The writer's groups share the one sync.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    # What is deleted is overwritten with zeros, instead of lying in the file until it is needed.
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT_BYTES}")


def _begin_sqlite(connection: Connection) -> None:
    writing = connection.get_execution_options().get("writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _begin_postgresql(connection: Connection) -> None:
    """One writer at a time here too: what it looks up is still there when it writes."""
    options = connection.get_execution_options()
    if options.get("writing", False):
        milliseconds = int(options.get("patience", BUSY_TIMEOUT_SECONDS) * 1000)
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {milliseconds}; {_TAKE_WRITE_LOCK}")


def take_update_lock(connection: Connection, patience: float) -> None:
    """Waits `patience` seconds at most until nobody else updates a server's tables.

    The lock ends with the transaction, which is idle while the tables are copied and changed.
    """
    connection.exec_driver_sql(
        f"SET LOCAL lock_timeout = {int(patience * 1000)}; "
        f"SET LOCAL idle_in_transaction_session_timeout = 0; {_TAKE_UPDATE_LOCK}"
    )
