"""What is PostgreSQL's own: its schema from nothing and from the oldest, its locks, its outages."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx2
import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import func, select
from typer.testing import CliRunner

from appliance.cli import app
from appliance.errors import SetupError
from appliance.ledger import dialects
from appliance.ledger.database import Database
from appliance.ledger.filters import Selection
from appliance.ledger.history import History
from appliance.ledger.schema import metadata
from appliance.ledger.search_index import SERVER_INDEX
from appliance.ledger.tables import RequestRecord
from tests.ledger.support import Cluster, Ledger, at_schema, said_by_two
from tests.ledger.test_migrate import OLDEST_ROWS
from tests.live import free_port
from tests.scripted_app import scripted_appliance

pytestmark = [pytest.mark.anyio, pytest.mark.postgresql]


def test_the_schema_is_the_one_the_models_describe(ready: Ledger) -> None:
    def is_ours(thing: object, _name: object, kind: str, *_rest: object) -> bool:
        return not getattr(thing, "info", {}).get("view") and kind in ("table", "column")

    with ready.database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": is_ours})
        assert compare_metadata(context, metadata) == []
    made = {name for (name,) in ready.sql("select indexname from pg_indexes")}
    described = {index.name for table in metadata.sorted_tables for index in table.indexes}
    assert described <= made
    assert SERVER_INDEX in made


async def test_rows_of_the_oldest_schema_are_read_and_found(empty: str, tmp_path: Path) -> None:
    at_schema(empty, "0001")
    rows = OLDEST_ROWS.replace("'hash', 0,", "'hash', true,")
    with psycopg.connect(empty) as connection:
        connection.execute(rows.encode())

    migrated = Database(empty)
    migrated.migrate(copies=tmp_path)
    migrated.close()
    ledger = Ledger(empty)
    try:
        new = ledger.record(key_name="anna")
        page = await History(ledger.database, ledger.writer).page(Selection(words="HELL"))
        old = await ledger.queries.request("r1", owner="anna")
        (key,) = await ledger.keys.list()
    finally:
        ledger.close()
    assert [row.id for row in page.rows] == ["r1"]
    assert new != "r1"
    assert old is not None
    assert old.generation is not None
    assert old.generation.input == [{"role": "user", "content": "Hi"}]
    assert (old.generation.tools, old.generation.form) == (None, None)
    assert key.is_admin


def test_two_that_start_at_once_both_find_a_whole_schema(empty: str) -> None:
    program = (
        "from appliance.ledger.database import Database;"
        f"Database({empty!r}).migrate(); print('migrated')"
    )
    assert said_by_two(program) == ["migrated\n"] * 2


async def test_a_server_that_was_restarted_is_found_again(ready: Ledger) -> None:
    ready.record()
    await ready.writer.drained()
    with psycopg.connect(str(ready.place), autocommit=True) as other:
        others = "select pg_terminate_backend(pid) from pg_stat_activity where pid <> "
        own = f"pg_backend_pid() and datname = current_database() and usename = '{USER}'"
        assert other.execute((others + own).encode()).fetchall()

    ready.record()

    assert len((await ready.queries.requests(owner=None)).rows) == 2
    assert ready.writer.losses.count == 0


USER = "appliance"


async def test_a_read_is_one_snapshot(ready: Ledger) -> None:
    count = select(func.count()).select_from(RequestRecord)
    with ready.database.reading() as session:
        assert session.scalar(count) == 0
        ready.record()
        await ready.writer.drained()
        assert session.scalar(count) == 0
    with ready.database.reading() as session:
        assert session.scalar(count) == 1


async def test_there_is_one_writer_at_a_time_and_waiting_for_it_ends(
    ready: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ready.writer.drained()
    other = Database(str(ready.place))
    with other.begin_writing():
        waiting = asyncio.create_task(ready.conversations.create("owner", title="mine"))
        done, _ = await asyncio.wait([waiting], timeout=0.3)
        assert not done
    assert (await waiting).title == "mine"

    monkeypatch.setattr(dialects, "BUSY_TIMEOUT_SECONDS", 0.05)
    with other.begin_writing():
        ready.open_request()
        await ready.writer.drained()
        assert "lock timeout" in str(ready.writer.losses.reason)
    other.close()


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("{url}/missing", r"\"missing\" does not exist\. Create the user and the database"),
        ("postgresql://anna:secret@127.0.0.1:{port}/x", r"anna:\*\*\*@.*refused.*server runs"),
    ],
)
def test_a_server_that_cannot_be_used_is_told(server: Cluster, place: str, says: str) -> None:
    database = Database(place.format(url=server.url, port=free_port()))
    with pytest.raises(SetupError, match=says) as refusal:
        database.migrate()
    assert "secret" not in str(refusal.value)
    database.close()


def test_another_programs_tables_are_refused(empty: str) -> None:
    with psycopg.connect(empty) as connection:
        connection.execute("create table message (text text)")
    database = Database(empty)
    with pytest.raises(SetupError, match=r"already has tables called message.*--database-url"):
        database.migrate()
    database.close()


async def test_the_doctor_looks_at_the_server(ready: Ledger, empty: str, tmp_path: Path) -> None:
    ready.record()
    await ready.writer.drained()
    status, told = diagnose(str(ready.place), tmp_path)
    assert (status, "BAD" in told) == (0, False)
    for part in ("PostgreSQL", "newest", "1 messages", "an index of 2 texts", "pg_dump"):
        assert part in told

    ready.sql("update turn set parent_id = 77")
    status, told = diagnose(str(ready.place), tmp_path)
    assert status == 1
    assert "1 messages of chats have lost" in told
    assert "first start makes it" in diagnose(empty, tmp_path)[1]
    gone = f"postgresql://appliance@127.0.0.1:{free_port()}/x"
    assert "does not answer" in diagnose(gone, tmp_path)[1]


def test_a_whole_appliance_records_on_the_server(ready: Ledger, tmp_path: Path) -> None:
    given = {"database_url": str(ready.place), "retention_mb": 1500}
    with scripted_appliance(tmp_path, **given) as appliance:
        mark = appliance.mark()
        body = {"messages": [{"role": "user", "content": "say kingfisher"}]}
        for _ in range(2):
            answer = httpx2.post(f"{appliance.url}/v1/chat/completions", json=body)
            assert answer.status_code == 200
        rows = appliance.rows("/v1/chat/completions", after=mark, count=2)
        assert [row.input for _, row in rows if row] == [body["messages"]] * 2
        for page in PAGES:
            shown = httpx2.get(appliance.url + page, timeout=30)
            assert shown.status_code == 200, page
        assert "kingfisher" in httpx2.get(f"{appliance.url}/history?words=kingfisher").text
        notice = httpx2.get(f"{appliance.url}/history/mine").text
        assert "take more than 1,500 MB" in notice
        assert "until it is deleted by hand" not in notice


PAGES = (
    "/",
    "/chats",
    "/history",
    "/history/charts",
    "/history/mine",
    "/history/mine/export",
    "/history/export",
    "/keys",
    "/assistants",
    "/write",
    "/status",
    "/metrics",
)


def diagnose(url: str, folder: Path) -> tuple[int, str]:
    flags = ["--data-dir", str(folder), "--database-url", url]
    result = CliRunner().invoke(app, ["doctor", *flags])
    return result.exit_code, result.output
