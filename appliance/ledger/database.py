"""The door to the database: connections, reads, and the one write transaction at a time.

All that is peculiar to SQLite stands here and in `backup.py`. Who writes is not decided here:
only `Writer` and `migrate` call `begin_writing`.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Delete, Engine, Update, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlmodel import Session

from appliance.errors import SetupError
from appliance.ledger.columns import readable_json

T = TypeVar("T")

READERS = 4
BUSY_TIMEOUT_SECONDS = 5.0
_WRITE_LOCK = 0x1ED6E4
_WAL_KEPT_BYTES = 64 * 1024 * 1024


class Database:
    """One ledger. Making it opens nothing; `migrate` makes the file and the tables.

    `url` is a SQLAlchemy URL: `sqlite:////absolute/appliance.db`.
    Raises SetupError for a URL that cannot be served.
    """

    def __init__(self, url: str) -> None:
        self.url = _parsed(url)
        self.engine = _engine(self.url)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="ledger-read")

    @property
    def file(self) -> Path | None:
        """The SQLite file; None on a server or behind a `file:` URI."""
        return sqlite_file(self.url)

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    def migrate(self) -> None:
        """Brings file and tables to the newest schema. Raises SetupError with what to do."""
        from appliance.ledger.migrate import migrate

        migrate(self)

    async def read(self, query: Callable[[Session], T]) -> T:
        """Runs `query` in a thread of its own, on one snapshot, and returns its answer."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._read, query)

    def _read(self, query: Callable[[Session], T]) -> T:
        with self.reading() as session:
            return query(session)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session for reading. What it changes is rolled back."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    def begin_writing(self) -> Session:
        """A session whose transaction already holds the write lock; the caller commits.

        Taking the lock first means that a transaction never fails half-way because another
        process wrote in between. Raises OperationalError when the lock, the disk or the file
        is not to be had within `BUSY_TIMEOUT_SECONDS`.
        """
        session = Session(self.engine, expire_on_commit=False)
        try:
            session.connection(execution_options={"writing": True})
        except BaseException:
            session.close()
            raise
        return session

    def empty_wal(self) -> bool:
        """Moves what lies beside a SQLite file into it, and cuts that to nothing. Blocks.

        False when somebody was reading or writing, so that not all of it could be moved.
        """
        connection = self.engine.raw_connection()
        try:
            cursor = connection.cursor()
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            ((busy, _, _),) = cursor.fetchall()
        finally:
            connection.close()
        return not busy

    def close(self) -> None:
        """Waits for running reads and lets go of the file. Close the writer first."""
        self._readers.shutdown()
        self.engine.dispose()


def changed_rows(session: Session, statement: Update | Delete) -> int:
    """Runs `statement` past the ORM, which would only slow it down; returns the row count."""
    return session.connection().execute(statement).rowcount


def sqlite_file(url: URL) -> Path | None:
    """The file behind `url`, or None when it is not a plain SQLite path."""
    if url.get_backend_name() != "sqlite" or not url.database or url.database.startswith("file:"):
        return None
    return Path(url.database)


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise SetupError(
            "The database URL cannot be read. Give one like sqlite:////home/me/appliance.db."
        ) from error
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise SetupError(
            "The ledger needs a file: a database in memory would forget every request. "
            "Give a URL like sqlite:////home/me/appliance.db."
        )
    return parsed


def _engine(url: URL) -> Engine:
    is_sqlite = url.get_backend_name() == "sqlite"
    try:
        engine = create_engine(
            url,
            json_serializer=readable_json,
            hide_parameters=True,  # a failed statement must not carry prompts into the log
            pool_size=READERS + 2,
            connect_args={"timeout": BUSY_TIMEOUT_SECONDS} if is_sqlite else {},
        )
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise SetupError(
            "No driver is installed for the database %(driver)s. Install it, or leave out "
            "--database-url to use SQLite.",
            driver=url.drivername,
        ) from error
    if is_sqlite:
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    elif url.get_backend_name() == "postgresql":
        event.listen(engine, "begin", _begin_postgresql)
    return engine


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
    if connection.get_execution_options().get("writing", False):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITE_LOCK})")


def make_private_file(path: Path) -> bool:
    """Makes an empty file that only its owner can read; False when it was there already.

    Raises OSError. The database and its copies hold what people asked.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return False
    return True
