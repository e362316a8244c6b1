"""The doctor tells a healthy ledger from an ill one, in words and by its exit status."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from appliance.cli import app
from appliance.ledger import doctor
from appliance.ledger.doctor import examine
from tests.ledger.support import Ledger, url_of

pytestmark = [pytest.mark.anyio, pytest.mark.sqlite]


@pytest.fixture
async def filled(ledger: Ledger) -> Path:
    for number in range(3):
        ledger.record(asked={"input": [{"role": "user", "content": f"question {number}"}]})
    await ledger.writer.drained()
    return ledger.file


def bad(file: Path) -> list[str]:
    return [finding.text for finding in examine(url_of(file)) if finding.level == "bad"]


def sql(file: Path, statement: str) -> None:
    """As a careless program would, which knows nothing of references."""
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.execute(statement)


def diagnose(file: Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["doctor", "--data-dir", str(file.parent)])
    return result.exit_code, result.output


async def test_a_healthy_ledger_is_called_so_while_it_runs(filled: Path) -> None:
    status, told = diagnose(filled)
    assert (status, "BAD" in told) == (0, False)
    for part in ("The file is whole", "newest", "3 messages", "all 6 texts", "free on the disk"):
        assert part in told


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        ("delete from turn", "Rows point at others that are gone: 3 in generation_row"),
        ("update turn set parent_id = 77 where id = 2", "1 messages of chats have lost"),
        ("delete from searched_text_docsize where id = 1", "The search knows 5 of 6 texts"),
        ("update alembic_version set version_num = '9999'", "newer than this version"),
        ("drop table alembic_version", "another program made this file"),
    ],
)
async def test_an_ill_one_is_told_with_what_to_do(filled: Path, harm: str, told: str) -> None:
    sql(filled, harm)
    status, shown = diagnose(filled)
    assert status == 1
    assert told in shown


async def test_a_damaged_file_is_told(filled: Path, ledger: Ledger) -> None:
    assert ledger.database.empty_wal()
    ledger.close()
    with filled.open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * 20_000)
    assert any("put the newest good copy" in text for text in bad(filled))


async def test_little_room_is_told(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LITTLE_ROOM", 10**18)
    (text,) = bad(filled)
    assert "Make room" in text


def test_where_there_is_nothing_it_says_so(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["doctor", "--data-dir", str(tmp_path)])
    assert result.exit_code != 0
    assert "no database" in str(result.exception)
