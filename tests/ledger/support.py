"""A whole ledger on a real database, and the short ways in which the tests fill it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from appliance.domain import Timings, Usage
from appliance.ledger.conversations import Conversations
from appliance.ledger.database import Database
from appliance.ledger.ids import new_id
from appliance.ledger.keys import KeyStore
from appliance.ledger.queries import Queries
from appliance.ledger.recorder import Recorder
from appliance.ledger.retention import Keep, Retention
from appliance.ledger.schema import metadata
from appliance.ledger.writer import Writer
from tests.live import ROOT
from tests.servers import postgresql


def url_of(place: Path | str) -> str:
    return place if isinstance(place, str) else f"sqlite:///{place.as_posix()}"


@dataclass
class Ledger:
    """Everything the appliance puts together, on the SQLite file or at the URL `place`."""

    place: Path | str
    database: Database = field(init=False)
    writer: Writer = field(init=False)

    def __post_init__(self) -> None:
        self.database = Database(url_of(self.place))
        self.database.migrate()
        self.writer = Writer(self.database)
        self.recorder = Recorder(self.writer)
        self.queries = Queries(self.database, self.writer)
        self.keys = KeyStore(self.database, self.writer)
        self.retention = Retention(self.database, self.writer, Keep())
        self.conversations = Conversations(self.database, self.writer)

    def close(self) -> None:
        self.writer.close()
        self.database.close()

    @property
    def file(self) -> Path:
        """The file of a test that is marked `sqlite`."""
        assert self.database.file is not None
        return self.database.file

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Runs plain SQL as another program would, and commits it. Its rows, if it has any."""
        with self.database.engine.begin() as connection:
            cursor = connection.connection.cursor()  # which takes % for what it is
            cursor.execute(statement)
            return [tuple(row) for row in cursor.fetchall()] if cursor.description else []

    def open_request(self, **changes: Any) -> str:
        row: dict[str, Any] = {
            "id": new_id(),
            "created_at": datetime.now(UTC),
            "method": "POST",
            "path": "/generate",
            "client_ip": "192.168.1.20",
            "user_agent": "curl/8.5",
        }
        row |= changes
        self.recorder.open_request(**row)
        return str(row["id"])

    def open_generation(self, request_id: str, **changes: Any) -> str:
        row: dict[str, Any] = {
            "id": new_id(),
            "request_id": request_id,
            "model": "Qwen/Qwen3-8B",
            "precision": "int8",
            "engine": "transformers",
            "parameters": {"temperature": 0.7, "max_tokens": 512},
            "input": [{"role": "user", "content": "What is a ledger?"}],
        }
        row |= changes
        self.recorder.open_generation(**row)
        return str(row["id"])

    def close_generation(self, generation_id: str, **changes: Any) -> None:
        row: dict[str, Any] = {
            "output": "A book that remembers.",
            "reasoning": None,
            "usage": Usage(12, 6, cached_tokens=4, reasoning_tokens=2),
            "timings": Timings(queue_ms=1.04, ttft_ms=20.0, duration_ms=100.0),
            "finish_reason": "stop",
            "error": None,
        }
        row |= changes
        self.recorder.close_generation(generation_id, **row)

    def record(
        self,
        *,
        key_name: str = "owner",
        request: dict[str, Any] | None = None,
        asked: dict[str, Any] | None = None,
        answered: dict[str, Any] | None = None,
    ) -> str:
        """One request with one generation, from arrival to end."""
        request_id = self.open_request(**(request or {}))
        generation_id = self.open_generation(request_id, **(asked or {}))
        self.close_generation(generation_id, **(answered or {}))
        self.recorder.close_request(request_id, status=200, duration_ms=101, key_name=key_name)
        return request_id


def at_schema(place: Path | str, revision: str) -> None:
    """An empty database as the version with this schema made it."""
    from alembic import command  # which a start on a ready database must not need
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "appliance.ledger:migrations")
    database = Database(url_of(place))
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    database.close()


@dataclass
class Cluster:
    """A PostgreSQL server for all tests of a process.

    One database has the newest schema and is emptied for each test: that is quicker than a copy.
    """

    url: str
    _numbers: Iterator[int] = field(default_factory=count)

    def emptied(self) -> str:
        """The URL of the database with the newest schema and no rows."""
        tables = (t.name for t in reversed(metadata.sorted_tables) if not t.info.get("view"))
        self.run("; ".join(f'DELETE FROM "{table}"' for table in tables), database="ready")
        return f"{self.url}/ready"

    @contextmanager
    def new_database(self) -> Iterator[str]:
        """The URL of a database without any table."""
        name = f"new_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE template0")
        try:
            yield f"{self.url}/{name}"
        finally:
            self.run(f"DROP DATABASE {name} WITH (FORCE)")

    def run(self, statement: str, database: str = "postgres") -> None:
        import psycopg

        with psycopg.connect(f"{self.url}/{database}", autocommit=True) as connection:
            connection.execute(statement.encode())


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Starts the server, and prepares the database that is copied."""
    with postgresql() as url:
        running = Cluster(url)
        running.run("CREATE DATABASE ready")
        database = Database(f"{url}/ready")
        database.migrate()
        database.close()
        yield running


def said_by_two(program: str) -> list[str]:
    """What two processes print that run the same Python at once."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    return [process.communicate(timeout=60)[0] for process in processes]
