"""A ledger on PostgreSQL is copied by the server's own tool, and kept to a size."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
from typer.testing import CliRunner

from appliance.cli import app
from appliance.errors import SetupError
from appliance.ledger.backup import backup
from appliance.ledger.filters import Selection
from appliance.ledger.history import History
from appliance.ledger.retention import Keep, Retention
from appliance.ledger.size import used_bytes
from tests.ledger.support import Ledger
from tests.ledger.test_postgresql import diagnose
from tests.live import free_port
from tests.servers import program

pytestmark = [pytest.mark.anyio, pytest.mark.postgresql]

# Notes how it was called, and is the real one: %s is its path.
NOTING = """#!/bin/sh
echo "$0 $@" "[$PGPASSWORD]" >> "$NOTED"
exec %s "$@"
"""


async def test_a_copy_made_while_writing_can_be_restored(
    ready: Ledger, empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool, restore = program("pg_dump", "postgresql-client"), program("pg_restore", "the same")
    script = tmp_path / "bin" / "pg_dump"
    script.parent.mkdir()
    script.write_text(NOTING % tool)
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("NOTED", str(tmp_path / "noted"))
    for _ in range(50):
        ready.record()
    await ready.writer.drained()
    url = str(ready.place).replace("appliance@", "appliance:hush-hush@")
    copy = tmp_path / "copy.dump"
    with writing(ready):
        result = CliRunner().invoke(app, ["backup", str(copy), "--database-url", url])
    assert result.exit_code == 0, result.output
    assert copy.stat().st_mode & 0o777 == 0o600
    *called, told = (tmp_path / "noted").read_text().splitlines()
    assert "hush-hush" not in told.rpartition(" ")[0]
    assert told.endswith("[hush-hush]")
    assert len(called) == 1  # for its version

    restored_by = [restore, "--no-owner", f"--dbname={empty}", str(copy)]
    await asyncio.to_thread(subprocess.run, restored_by, check=True)
    status, told = diagnose(empty, tmp_path)
    assert (status, "BAD" in told) == (0, False)
    restored = Ledger(empty)
    try:
        assert len((await restored.queries.requests(owner=None, limit=200)).rows) >= 50
        found = await History(restored.database, restored.writer).page(Selection(words="ledger"))
        assert found.rows
    finally:
        restored.close()


@contextmanager
def writing(ledger: Ledger) -> Iterator[None]:
    """Records one request after the other meanwhile."""
    done = Event()

    def keep_writing() -> None:
        while not done.is_set():
            ledger.record()
            ledger.writer.schedule(lambda _session: None).result()

    thread = Thread(target=keep_writing)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_an_old_pg_dump_and_a_silent_server_are_told(
    ready: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program("pg_dump", "postgresql-client")
    gone = f"postgresql://appliance@127.0.0.1:{free_port()}/x"
    with pytest.raises(SetupError, match="does not answer"):
        backup(gone, tmp_path / "copy.dump")
    with pytest.raises(SetupError, match=r"exists already"):
        backup(str(ready.place), tmp_path)
    script = tmp_path / "pg_dump"
    script.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.1'\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match=r"of version 9 and refuses a server of version \d\d"):
        backup(str(ready.place), tmp_path / "copy.dump")
    assert not (tmp_path / "copy.dump").exists()


async def test_the_oldest_rows_make_room_once_and_the_room_is_used_again(ready: Ledger) -> None:
    def fill() -> None:
        for _ in range(40):
            said = os.urandom(15_000).hex()  # which cannot be compressed
            ready.record(asked={"input": said}, answered={"output": said[::-1]})

    fill()
    await ready.writer.drained()
    used = await ready.database.read(used_bytes)
    on_disk = ready.sql(SIZE)[0][0]
    assert used == pytest.approx(on_disk, rel=0.25)
    sweep = Retention(ready.database, ready.writer, Keep(bytes=used // 2)).sweep

    assert 15 <= await sweep() <= 28
    assert await sweep() <= 3, "the server's files are as large as before, but half empty"
    assert await ready.database.read(used_bytes) <= used * 0.55
    left = len((await ready.queries.requests(owner=None, limit=200)).rows)
    fill()
    await ready.writer.drained()
    assert await sweep() >= left
    assert ready.sql(SIZE)[0][0] < on_disk * 1.8, "new rows have filled what was free"


SIZE = (
    "select sum(pg_total_relation_size(oid))::bigint from pg_class "
    "where relkind = 'r' and relnamespace = 'public'::regnamespace"
)
