"""From nothing, from an older schema, and from files that are no ledger at all."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.schema import SchemaItem

from appliance.errors import SetupError
from appliance.ledger.database import Database
from appliance.ledger.migrations import HEAD
from appliance.ledger.schema import metadata
from tests.ledger.support import Ledger, at_schema, url_of

pytestmark = [pytest.mark.anyio, pytest.mark.sqlite]

ROOT = Path(__file__).parents[2]


def migrated(file: Path) -> Database:
    database = Database(url_of(file))
    try:
        database.migrate()
    finally:
        database.close()
    return database


def sql(file: Path, *statements: str) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        for statement in statements:
            database.execute(statement)


def _is_ours(
    thing: SchemaItem, name: str | None, kind: str, reflected: bool, _same: SchemaItem | None
) -> bool:
    """Views are no tables for Alembic, and the search keeps tables of its own."""
    searching = kind == "table" and reflected and str(name).startswith("searched_text")
    return not searching and not thing.info.get("view")


def test_the_migrated_schema_is_the_one_the_models_describe(ledger: Ledger) -> None:
    with ledger.database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": _is_ours})
        assert compare_metadata(context, metadata) == []

    with closing(sqlite3.connect(ledger.file)) as database:
        for table in metadata.sorted_tables:
            found = database.execute(f"select name from pragma_table_info('{table.name}')")
            assert [name for (name,) in found] == list(table.columns.keys())
            indexes = database.execute(f"select name from pragma_index_list('{table.name}')")
            made = {name for (name,) in indexes if not name.startswith("sqlite_")}
            assert made == {index.name for index in table.indexes}


def test_head_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", "appliance.ledger:migrations")
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_migrating_again_changes_nothing_and_is_quick(tmp_path: Path) -> None:
    file = tmp_path / "new" / "data" / "appliance.db"
    migrated(file)
    before = file.read_bytes()
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        migrated(file)
        seconds.append(time.perf_counter() - started)

    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == ["appliance.db"]
    assert min(seconds) < 0.02


def test_a_start_on_a_ready_database_never_imports_alembic(tmp_path: Path) -> None:
    file = tmp_path / "appliance.db"
    migrated(file)
    program = (
        "import sys, json; from pathlib import Path;"
        "from tests.ledger.support import Ledger;"
        f"Ledger(Path({str(file)!r})).close();"
        "print(json.dumps([name for name in ('alembic', 'limits') if name in sys.modules]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
        text=True,
    )
    assert json.loads(result.stdout) == []


def test_two_that_start_at_once_both_find_a_whole_schema(tmp_path: Path) -> None:
    file = tmp_path / "appliance.db"
    program = (
        "from appliance.ledger.database import Database;"
        f"Database({url_of(file)!r}).migrate(); print('migrated')"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    assert [process.communicate(timeout=60)[0] for process in processes] == ["migrated\n"] * 2


OLDEST_ROWS = """
insert into request values ('r1', '2026-08-01 09:30:00.000000', 'POST', '/generate', 200, 101.0,
    '10.0.0.9', 'anna', 'curl/8.5', null);
insert into generation values ('g1', 'r1', 'Qwen/Qwen3-8B', 'int8', 'transformers',
    '{"temperature": 0.7}', '[{"role": "user", "content": "Hi"}]', 'Hello.', null,
    12, 4, 6, 1.0, 20.0, 100.0, 'stop', null);
insert into api_key values ('k1', 'anna', 'sk-appl-ab', 'hash', 0, null,
    '2026-07-01 08:00:00.000000', null, null, null);
insert into conversation values ('c1', 'anna', 'Greetings',
    '2026-08-01 09:30:00.000000', '2026-08-01 09:31:00.000000', null);
insert into message values ('m1', 'c1', 'assistant', 'Hello.', null, 'done', null, 'r1',
    '2026-08-01 09:30:00.000000');
"""


@pytest.fixture
def oldest(tmp_path: Path) -> Path:
    """A database as the first version left it, with a row in every table."""
    file = tmp_path / "appliance.db"
    at_schema(file, "0001")
    with closing(sqlite3.connect(file)) as rows:
        rows.executescript(OLDEST_ROWS)
    return file


OLDEST_TABLES = ("request", "generation", "api_key", "conversation", "message")


def rows_of(file: Path) -> dict[str, list[dict[str, object]]]:
    """The rows of the first version's tables, by the names of their columns."""
    with closing(sqlite3.connect(file)) as database:
        database.row_factory = sqlite3.Row
        found = {name: database.execute(f"select * from {name}") for name in OLDEST_TABLES}
        return {name: [dict(row) for row in rows] for name, rows in found.items()}


def test_every_row_of_the_oldest_schema_survives(oldest: Path) -> None:
    before = rows_of(oldest)

    migrated(oldest)

    after = rows_of(oldest)
    for table, (row,) in before.items():
        (kept,) = after[table]
        row.pop("is_admin", None)  # became one of the key's scopes
        assert {name: kept[name] for name in row} == row


async def test_old_and_new_rows_are_read_alike(oldest: Path) -> None:
    ledger = Ledger(oldest)
    try:
        new = ledger.record(request={"client_request_id": "trace-7"})
        page = await ledger.queries.requests(owner=None)
        old = await ledger.queries.request("r1", owner="anna")
    finally:
        ledger.close()
    noted = {row.id: (row.client_request_id, len(row.generations)) for row in page.rows}
    assert noted == {new: ("trace-7", 1), "r1": (None, 1)}
    assert old is not None
    assert old.generation is not None
    assert (old.generation.output, old.generation.tool_calls) == ("Hello.", None)
    assert (old.generation.tools, old.generation.form) == (None, None)


def test_the_migrated_oldest_schema_is_that_of_a_new_database(oldest: Path, tmp_path: Path) -> None:
    migrated(oldest)
    migrated(tmp_path / "new.db")

    def schema(file: Path) -> list[tuple[str, str]]:
        with closing(sqlite3.connect(file)) as database:
            return database.execute("select name, sql from sqlite_schema order by name").fetchall()

    assert schema(oldest) == schema(tmp_path / "new.db")


def test_an_existing_database_is_copied_before_it_is_changed(oldest: Path) -> None:
    before = rows_of(oldest)

    migrated(oldest)

    (copy,) = oldest.parent.glob("appliance.schema-0001.*Z.db")
    assert rows_of(copy) == before


def test_the_file_is_private(tmp_path: Path) -> None:
    migrated(tmp_path / "appliance.db")
    if os.name == "posix":
        assert (tmp_path / "appliance.db").stat().st_mode & 0o777 == 0o600


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "appliance.db"
    migrated(file)
    sql(file, "update alembic_version set version_num = '9999'")

    with pytest.raises(SetupError, match=r"newer version.*schema 9999.*Update the appliance"):
        migrated(file)
    assert [path.name for path in tmp_path.iterdir()] == ["appliance.db"]


def test_another_programs_tables_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "appliance.db"
    sql(file, "create table message (text)")

    with pytest.raises(SetupError, match=r"already has tables called message.*--data-dir"):
        migrated(file)


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "appliance.db"
    file.write_text("Dear diary, " * 200)

    with pytest.raises(SetupError, match=r"not a database.*move it away"):
        migrated(file)
    assert file.read_text().startswith("Dear diary")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file in the folder's place")

    with pytest.raises(SetupError, match=r"data folder .*data cannot be written.*--data-dir"):
        migrated(tmp_path / "data" / "appliance.db")


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() == 0, reason="the superuser may write everywhere"
)
@pytest.mark.parametrize("read_only", ["appliance.db", "."])
def test_a_read_only_place_is_named(tmp_path: Path, read_only: str) -> None:
    file = tmp_path / "appliance.db"
    migrated(file)
    place = tmp_path / read_only
    mode = place.stat().st_mode
    place.chmod(mode & ~0o222)
    try:
        with pytest.raises(SetupError, match=r"read-only.*--data-dir"):
            migrated(file)
    finally:
        place.chmod(mode)


def test_a_read_only_database_is_refused_with_advice(tmp_path: Path) -> None:
    file = tmp_path / "appliance.db"
    sql(file, "pragma journal_mode = wal", "create table something_else (id)")
    database = Database(f"sqlite:///file:{file}?mode=ro&uri=true")
    try:
        with pytest.raises(SetupError, match=r"readonly.*Make the file writable"):
            database.migrate()
    finally:
        database.close()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("appliance.db", "cannot be read"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
        ("mysql://host/name", "cannot be kept in mysql.*PostgreSQL"),
        ("postgresql+asyncpg://host/name", "No driver is installed"),
    ],
)
def test_a_url_that_cannot_be_served_is_refused(url: str, says: str) -> None:
    with pytest.raises(SetupError, match=says):
        Database(url)
