"""Copies made while the ledger is being written."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from threading import Event, Thread

import pytest

from appliance.errors import SetupError
from appliance.ledger.backup import backup
from appliance.ledger.doctor import examine
from tests.ledger.support import Ledger, at_schema, url_of

pytestmark = [pytest.mark.anyio, pytest.mark.sqlite]


async def test_a_copy_made_while_writing_is_whole(ledger: Ledger, tmp_path: Path) -> None:
    for _ in range(200):
        ledger.record()
    await ledger.writer.drained()
    done = Event()

    def keep_writing() -> None:
        while not done.is_set():
            ledger.record()
            ledger.writer.schedule(lambda _session: None).result()

    writing = Thread(target=keep_writing)
    writing.start()
    try:
        copies = [tmp_path / f"copy {number}.db" for number in range(3)]
        for copy in copies:
            backup(url_of(ledger.file), copy)
    finally:
        done.set()
        writing.join()

    for copy in copies:
        with closing(sqlite3.connect(copy)) as database:
            assert database.execute("pragma integrity_check").fetchone() == ("ok",)
            assert database.execute("pragma foreign_key_check").fetchall() == []
            assert database.execute("select count(*) from request").fetchone() >= (200,)
        assert [one.text for one in examine(url_of(copy)) if one.level == "bad"] == []
    if os.name == "posix":
        assert copies[0].stat().st_mode & 0o777 == 0o600


async def test_a_copy_is_a_ledger_to_start_from(ledger: Ledger, tmp_path: Path) -> None:
    request_id = ledger.record()
    await ledger.writer.drained()
    copy = tmp_path / "elsewhere" / "appliance.db"
    copy.parent.mkdir()
    backup(url_of(ledger.file), copy)

    restored = Ledger(copy)
    try:
        assert await restored.queries.request(request_id, owner=None) is not None
    finally:
        restored.close()


def test_nothing_is_overwritten(ledger: Ledger, tmp_path: Path) -> None:
    target = tmp_path / "thesis.txt"
    target.write_text("years of work")

    with pytest.raises(SetupError, match="exists already"):
        backup(url_of(ledger.file), target)
    assert target.read_text() == "years of work"


def test_a_place_that_cannot_be_written_is_named(ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"nowhere.*Choose another place"):
        backup(url_of(ledger.file), tmp_path / "nowhere" / "copy.db")


def test_a_damaged_source_leaves_no_half_copy(tmp_path: Path) -> None:
    source = tmp_path / "appliance.db"
    source.write_text("not a database " * 100)
    target = tmp_path / "copy.db"

    with pytest.raises(SetupError, match="not a database"):
        backup(url_of(source), target)
    assert not target.exists()


MISSING = (
    r"not installed.*postgresql-client.*pg_dump --format=custom --file=\S*copy.db "
    r"--dbname=postgresql://anna@host/name"
)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sqlite:////no/such/appliance.db", "no database"),
        ("sqlite:///file:x?uri=true", "plain file"),
        ("postgresql://anna:secret@host/name", MISSING),
    ],
)
def test_what_cannot_be_copied_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, says: str
) -> None:
    monkeypatch.setenv("PATH", "")  # where pg_dump would be found
    with pytest.raises(SetupError, match=says):
        backup(url, tmp_path / "copy.db")
    assert list(tmp_path.iterdir()) == []


def test_of_the_copies_before_updates_the_last_ones_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "appliance.db"
    at_schema(file, "0001")
    for day in range(1, 6):
        copy = tmp_path / f"appliance.schema-0000.2026-07-0{day}T000000Z.db"
        copy.touch()
        os.utime(copy, (day, day))
    Ledger(file).close()
    kept = sorted(path.name.split(".")[1:3] for path in tmp_path.glob("appliance.schema-*.db"))
    assert len(kept) == 3
    assert [moment for _, moment in kept[:2]] == ["2026-07-04T000000Z", "2026-07-05T000000Z"]
