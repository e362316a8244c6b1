"""The door to the database: connections, reads, and the one write transaction at a time.

How SQLite and PostgreSQL are opened stands in `dialects.py`. Who writes is not decided here: only
`Writer` and `migrate` call `begin_writing`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Delete, Update
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from appliance.ledger.dialects import make_engine, parse_url, sqlite_file, take_update_lock

T = TypeVar("T")

READERS = 4
# Of lists that pages have, one for each owner: putting such a query together takes longer than
# answering it.
QUERIES_KEPT = 64


class Database:
    """One ledger. Making it opens nothing; `migrate` makes the file and the tables.

    `url` is a SQLAlchemy URL: `sqlite:////absolute/appliance.db`, `postgresql://user@host/name`.
    Raises SetupError for a URL that cannot be served.
    """

    def __init__(self, url: str) -> None:
        self.url = parse_url(url)
        self.engine = make_engine(self.url, READERS + 2)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="ledger-read")

    @property
    def file(self) -> Path | None:
        """The SQLite file; None on a server or behind a `file:` URI."""
        return sqlite_file(self.url)

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    def migrate(self, *, copies: Path = Path(), copying: bool = True) -> None:
        """Brings file and tables to the newest schema. Raises SetupError with what to do.

        What an older version has left is copied first, unless `copying` is false: a file beside
        itself, a server's tables into the folder `copies`.
        """
        from appliance.ledger.migrate import migrate

        migrate(self, copies=copies, copying=copying)

    async def read(self, query: Callable[[Session], T]) -> T:
        """Runs `query` in a thread of its own, on one snapshot, and returns its answer."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._read, query)

    def _read(self, query: Callable[[Session], T]) -> T:
        """A server that was restarted has cut the connection: a new one is tried, once."""
        try:
            return self._read_once(query)
        except DBAPIError as error:
            if not connection_lost(error):
                raise
        return self._read_once(query)

    def _read_once(self, query: Callable[[Session], T]) -> T:
        with self.reading() as session:
            return query(session)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session for reading. What it changes is rolled back."""
        with Session(self.engine, expire_on_commit=False) as session:
            if not self.is_sqlite:  # where every transaction is one snapshot in any case
                session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            yield session

    def begin_writing(self, patience: float | None = None) -> Session:
        """A session whose transaction already holds the write lock; the caller commits.

        Taking the lock first means that a transaction never fails half-way because another
        process wrote in between. Raises OperationalError when the lock, the disk or the file
        is not to be had within `dialects.BUSY_TIMEOUT_SECONDS`; `patience` is another bound, in
        seconds, for a lock on a server.
        """
        session = Session(self.engine, expire_on_commit=False)
        options = {"writing": True} | ({} if patience is None else {"patience": patience})
        try:
            session.connection(execution_options=options)
        except BaseException:
            session.close()
            raise
        return session

    @contextmanager
    def updating(self, patience: float) -> Iterator[None]:
        """Keeps other processes on a server from updating the tables too; who writes goes on.

        Waits `patience` seconds at most. On SQLite the write lock alone has to do.
        """
        if self.is_sqlite:
            yield
            return
        with self.engine.begin() as connection:
            take_update_lock(connection, patience)
            yield

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


def connection_lost(error: Exception) -> bool:
    """Whether it was the way to the server that failed, and not what was asked."""
    return isinstance(error, DBAPIError) and error.connection_invalidated


def changed_rows(session: Session, statement: Update | Delete) -> int:
    """Runs `statement` past the ORM, which would only slow it down; returns the row count."""
    return session.connection().execute(statement).rowcount


def make_private_file(path: Path) -> bool:
    """Makes an empty file that only its owner can read; False when it was there already.

    Raises OSError. The database and its copies hold what people asked.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return False
    return True
