"""A ledger on PostgreSQL is copied before an update changes it, or is left as it was."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from appliance.cli import app
from appliance.errors import SetupError
from appliance.ledger.database import Database
from appliance.ledger.migrations import HEAD
from tests.ledger.support import at_schema, said_by_two
from tests.ledger.test_migrate import OLDEST_ROWS
from tests.ledger.test_postgresql import diagnose
from tests.servers import program

pytestmark = pytest.mark.postgresql


@pytest.fixture
def oldest(empty: str) -> str:
    """The URL of a database as the first version left it, with a row in every table."""
    at_schema(empty, "0001")
    with psycopg.connect(empty) as connection:
        connection.execute(OLDEST_ROWS.replace("'hash', 0,", "'hash', true,").encode())
    return empty


def update(url: str, copies: Path, *, copying: bool = True) -> None:
    database = Database(url)
    try:
        database.migrate(copies=copies, copying=copying)
    finally:
        database.close()


def told(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(statement.encode()).fetchall()


def schema_of(url: str) -> object:
    return told(url, "select version_num from alembic_version")[0][0]


def test_the_copy_is_the_ledger_from_before(oldest: str, tmp_path: Path) -> None:
    copies = tmp_path / "not yet there"
    before = told(oldest, "select * from generation")

    update(oldest, copies)

    (copy,) = copies.iterdir()
    name = oldest.rpartition("/")[2]
    assert copy.match(f"{name}.schema-0001.*Z.dump")
    assert copy.stat().st_mode & 0o777 == 0o600
    assert schema_of(oldest) == HEAD
    assert "1 copies from before updates lie in" in diagnose(oldest, copies)[1]

    back = [program("pg_restore", "postgresql-client"), "--clean", "--if-exists", "--no-owner"]
    with psycopg.connect(oldest, autocommit=True) as connection:
        connection.execute("drop schema public cascade; create schema public")
    subprocess.run([*back, f"--dbname={oldest}", str(copy)], check=True)
    assert schema_of(oldest) == "0001"
    assert told(oldest, "select * from generation") == before


def test_the_last_copies_are_kept(oldest: str, tmp_path: Path) -> None:
    name = oldest.rpartition("/")[2]
    for day in range(1, 6):
        copy = tmp_path / f"{name}.schema-0000.2026-07-0{day}T000000Z.dump"
        copy.touch()
        os.utime(copy, (day, day))
    update(oldest, tmp_path)
    kept = sorted(path.name.split(".")[1] for path in tmp_path.iterdir())
    assert kept == ["schema-0000", "schema-0000", "schema-0001"]


def test_without_a_row_there_is_nothing_to_copy(
    empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_schema(empty, "0001")
    monkeypatch.setenv("PATH", "")  # where pg_dump would be found
    update(empty, tmp_path)
    assert schema_of(empty) == HEAD
    assert list(tmp_path.iterdir()) == []


def test_a_start_without_pg_dump_changes_nothing_until_it_is_told_to(
    oldest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    given = ["keys", "list", "--data-dir", str(tmp_path), "--database-url", oldest]
    refused = CliRunner().invoke(app, given)
    assert refused.exit_code != 0
    said = " ".join(f"{refused.output} {refused.exception}".split())
    assert "copies it first" in said
    assert "pg_dump, which is not installed here" in said
    assert "--no-update-copy" in said
    assert schema_of(oldest) == "0001"
    assert list(tmp_path.glob("*.dump")) == []

    monkeypatch.setenv("APPLIANCE_NO_UPDATE_COPY", "true")
    assert CliRunner().invoke(app, given).exit_code == 0
    assert schema_of(oldest) == HEAD
    assert list(tmp_path.glob("*.dump")) == []


def test_what_this_user_may_not_read_cannot_be_copied(oldest: str, tmp_path: Path) -> None:
    with psycopg.connect(oldest, autocommit=True) as connection:
        connection.execute("drop role if exists plain; create role plain login")
        for (table,) in told(oldest, "select tablename from pg_tables where schemaname = 'public'"):
            connection.execute(f'alter table "{table}" owner to plain'.encode())
        connection.execute("create table somebody_elses (text text)")
    try:
        with pytest.raises(SetupError, match=r"permission denied for table somebody_elses.*Mend"):
            update(oldest.replace("appliance@", "plain@"), tmp_path)
        assert schema_of(oldest) == "0001"
        assert list(tmp_path.iterdir()) == []
    finally:
        with psycopg.connect(oldest, autocommit=True) as connection:
            connection.execute("reassign owned by plain to appliance; drop owned by plain")
            connection.execute("drop role plain")


# As on a full disk: what is written to a file ends after a few kilobytes.
NO_ROOM = """#!/bin/sh
[ "$1" = --version ] || { trap '' XFSZ; ulimit -f 4; }
exec %s "$@"
"""


def test_a_copy_that_finds_no_room_leaves_nothing_behind(
    oldest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "bin" / "pg_dump"
    script.parent.mkdir()
    script.write_text(NO_ROOM % program("pg_dump", "postgresql-client"))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(SetupError, match=r"nothing was changed: pg_dump could not copy.*too large"):
        update(oldest, tmp_path / "copies")
    assert schema_of(oldest) == "0001"
    assert list((tmp_path / "copies").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(oldest: str, tmp_path: Path) -> None:
    (tmp_path / "copies").write_text("a file in the folder's place")
    with pytest.raises(SetupError, match=r"nothing was changed.*copies.*--no-update-copy"):
        update(oldest, tmp_path / "copies")
    assert schema_of(oldest) == "0001"


def test_of_two_that_start_at_once_one_makes_the_copy(oldest: str, tmp_path: Path) -> None:
    program = (
        "from pathlib import Path; from appliance.ledger.database import Database;"
        f"Database({oldest!r}).migrate(copies=Path({str(tmp_path)!r})); print('migrated')"
    )
    assert said_by_two(program) == ["migrated\n"] * 2
    assert len(list(tmp_path.iterdir())) == 1


def test_who_writes_goes_on_while_another_copies(empty: str) -> None:
    one, other = Database(empty), Database(empty)
    try:
        with one.updating(1.0), other.begin_writing(patience=1.0) as session:
            assert session.connection().exec_driver_sql("SELECT 1").scalar_one() == 1
    finally:
        one.close()
        other.close()
