"""The whole appliance on a scripted engine: exact tokens below, everything above is real."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx2
from sqlmodel import select

from appliance.app import create_app
from appliance.engines import make_engine
from appliance.fit.catalogue import load_catalogue
from appliance.fit.plan import plan
from appliance.fit.probe import probe
from appliance.folder import DataFolder
from appliance.ledger.database import Database
from appliance.ledger.keys import KeyStore
from appliance.ledger.tables import GenerationRecord, RequestRecord
from appliance.ledger.writer import Writer
from appliance.serve import wish_of
from appliance.settings import Settings, load_settings
from tests.scripted_engine import KEY, ScriptedEngine, scripted_engine, serving

Rows = list[tuple[RequestRecord, GenerationRecord | None]]


@dataclass(frozen=True)
class ScriptedAppliance:
    url: str
    engine: ScriptedEngine
    settings: Settings

    def rows_so_far(self, path: str, *, after: str = "") -> Rows:
        """Requests for this path with their generations, oldest first, open ones too."""
        database = Database(self.settings.effective_database_url)
        query = (
            select(RequestRecord, GenerationRecord)
            .join(GenerationRecord, isouter=True)
            .where(RequestRecord.path == path, RequestRecord.id > after)
            .order_by(RequestRecord.id)
        )
        try:
            with database.reading() as session:
                return list(session.exec(query))
        finally:
            database.close()

    def open_rows(self, path: str, *, after: str = "") -> Rows:
        """The rows that came after the mark, once there is one: the writer may be a moment late,
        and is when the database has just ended its sessions."""
        return self._rows_once(len, path, after, f"no row for {path}")

    def rows(self, path: str, *, after: str = "", count: int = 1) -> Rows:
        """The rows that came after the mark, once there are `count` and all are closed."""

        def enough(rows: Rows) -> bool:
            return len(rows) >= count and all(request.status is not None for request, _ in rows)

        return self._rows_once(enough, path, after, f"fewer than {count} closed rows for {path}")

    def _rows_once(
        self, enough: Callable[[Rows], object], path: str, after: str, otherwise: str
    ) -> Rows:
        for _ in range(500):
            if enough(rows := self.rows_so_far(path, after=after)):
                return rows
            time.sleep(0.01)
        raise AssertionError(otherwise)

    def mark(self) -> str:
        """The id of a request made now: whatever comes later has a greater one."""
        return str(httpx2.get(self.url + "/health").headers["x-request-id"])

    def key(self, name: str, **options: Any) -> str:
        """The secret of a new key, made beside the running appliance as the command line does."""

        async def make() -> str:
            database = Database(self.settings.effective_database_url)
            writer = Writer(database)
            _, secret = await KeyStore(database, writer).create(name, **options)
            writer.close()
            database.close()
            return secret

        return anyio.run(make)


@contextmanager
def scripted_appliance(data_dir: Path, **changes: Any) -> Iterator[ScriptedAppliance]:
    with scripted_engine() as engine:
        flags = {"data_dir": data_dir, "engine": "remote", "engine_url": engine.url}
        settings = load_settings({**flags, "engine_key": KEY, **changes}, {})
        folder = DataFolder(settings.data_dir)
        folder.open("http://test")
        decision = plan(probe(settings.data_dir), wish_of(settings), load_catalogue())
        try:
            with serving(
                create_app(settings, folder, decision, make_engine(settings, folder, decision))
            ) as url:
                _wait_ready(url)
                yield ScriptedAppliance(url, engine, settings)
        finally:
            folder.close()


def _wait_ready(url: str) -> None:
    for _ in range(500):
        if httpx2.get(url + "/ready").status_code == 200:
            return
        time.sleep(0.02)
    raise AssertionError("the scripted appliance did not become ready")
