"""The one writer: groups, failures, full disks, and its end."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from threading import Event
from typing import Any

import pytest
from sqlalchemy import event
from sqlmodel import Session, select

from appliance.errors import LedgerUnavailable
from appliance.ledger import losses
from appliance.ledger import writer as writer_module
from appliance.ledger.database import Database
from appliance.ledger.tables import RequestRecord
from appliance.ledger.writer import LedgerClosed
from tests.ledger.support import Ledger
from tests.logs import said_by

pytestmark = pytest.mark.anyio

PATIENCE_SECONDS = 20


@contextmanager
def connections_with(database: Database, *pragmas: str) -> Iterator[None]:
    """While this lasts, every new connection is hampered by `pragmas`."""

    def hamper(connection: sqlite3.Connection, _record: Any) -> None:
        for pragma in pragmas:
            connection.execute(pragma)

    event.listen(database.engine, "connect", hamper)
    database.engine.dispose()
    try:
        yield
    finally:
        event.remove(database.engine, "connect", hamper)
        database.engine.dispose()


@contextmanager
def paused(ledger: Ledger, *, looked_for: bool = True) -> Iterator[None]:
    """Holds the writer back, so that all that is submitted meanwhile forms one group."""
    running, released = Event(), Event()

    def wait(_session: Session) -> None:
        running.set()
        assert released.wait(PATIENCE_SECONDS)

    ledger.writer.submit(wait, looked_for=looked_for)
    assert running.wait(PATIENCE_SECONDS)
    try:
        yield
    finally:
        released.set()


async def stored(ledger: Ledger) -> set[str]:
    await ledger.writer.drained()
    ids = select(RequestRecord.id)
    return set(await ledger.database.read(lambda session: session.exec(ids).all()))


async def test_a_thousand_rows_from_many_threads_are_all_there(ledger: Ledger) -> None:
    with ThreadPoolExecutor(16) as threads:
        ids = set(threads.map(lambda _: ledger.open_request(), range(1000)))

    assert await stored(ledger) == ids
    assert len(ids) == 1000
    assert ledger.writer.losses.count == 0


async def test_execute_returns_once_another_connection_can_see_it(ledger: Ledger) -> None:
    created = await ledger.conversations.create("owner", title="seen")

    assert ledger.sql("select id, title from conversation") == [(created.id, "seen")]


async def test_a_page_reads_what_was_just_submitted(ledger: Ledger) -> None:
    for _ in range(20):
        request_id = ledger.record()
        page = await ledger.queries.requests(owner=None, limit=1)
        assert page.rows[0].id == request_id
        assert page.rows[0].status == 200


@pytest.mark.parametrize(("method", "waits"), [("GET", False), ("POST", True)])
async def test_nobody_waits_for_the_row_of_a_page_that_is_being_fetched(
    ledger: Ledger, method: str, waits: bool
) -> None:
    with paused(ledger, looked_for=False):
        fetched = ledger.open_request(method=method)
        reading = asyncio.create_task(ledger.writer.drained())
        done, _ = await asyncio.wait([reading], timeout=0.2)
        assert bool(done) is not waits
    await reading
    # What comes after it in the queue brings it along.
    ledger.recorder.close_request(fetched, status=200, duration_ms=1, key_name=None)
    assert await stored(ledger) == {fetched}


async def test_execute_raises_what_went_wrong(ledger: Ledger) -> None:
    def broken(_session: Session) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await ledger.writer.execute(broken)
    assert ledger.writer.losses.count == 0  # nothing was lost: the caller knows


async def test_one_failing_piece_of_work_leaves_its_neighbours_alone(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    taken = ledger.open_request()
    with paused(ledger):
        before = ledger.open_request()
        ledger.open_request(id=taken)
        ledger.recorder.close_request("nobody", status=200, duration_ms=1, key_name=None)
        after = ledger.open_request()

    assert await stored(ledger) == {taken, before, after}
    assert ledger.writer.losses.count == 2
    reason = str(ledger.writer.losses.reason).lower()
    assert "unique" in reason, "the first reason, not what followed from it"
    assert [record.levelname for record in said_by(losses, caplog)] == ["ERROR", "WARNING"]


async def test_a_lasting_failure_does_not_fill_the_log(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(50):
        ledger.recorder.close_request("nobody", status=200, duration_ms=1, key_name=None)
        ledger.open_request()
        await ledger.writer.drained()

    assert ledger.writer.losses.count == 50
    assert [record.levelname for record in said_by(losses, caplog)] == ["ERROR", "WARNING"]


async def test_errors_do_not_carry_what_people_asked(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    ledger.open_generation("no such request", input="my medical record")

    await ledger.writer.drained()

    assert ledger.writer.losses.count == 1
    assert "medical" not in caplog.text
    assert "medical" not in str(ledger.writer.losses.reason)


@pytest.mark.sqlite
async def test_a_full_disk_is_survived_and_recovered_from(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    first = ledger.record()
    await ledger.writer.drained()
    with ledger.database.reading() as session:
        pages = session.connection().exec_driver_sql("PRAGMA page_count").scalar_one()

    with connections_with(ledger.database, f"PRAGMA max_page_count = {pages + 2}"):
        with paused(ledger):
            small = ledger.open_request()
            ledger.open_request(user_agent="x" * 100_000)
            another = ledger.open_request()
        assert await stored(ledger) == {first, small, another}
        assert ledger.writer.losses.count == 1
        assert "full" in str(ledger.writer.losses.reason)
        page = await ledger.queries.requests(owner=None)
        assert len(page.rows) == 3, "reading goes on"

    roomy = ledger.open_request(user_agent="x" * 100_000)
    assert roomy in await stored(ledger)
    assert ledger.writer.losses.count == 1
    assert not ledger.writer.losses.failing
    assert [record.levelname for record in said_by(losses, caplog)] == ["ERROR", "WARNING"]


async def test_what_a_failed_commit_undid_is_written_by_the_next_try(ledger: Ledger) -> None:
    """A disk that is full shows itself at the commit, when the rows seem to be in already."""
    failures = [sqlite3.OperationalError("database or disk is full")]

    def commit(_connection: Any) -> None:
        if failures:
            raise failures.pop()

    event.listen(ledger.database.engine, "commit", commit)
    with paused(ledger):
        request = ledger.open_request()
        making = asyncio.create_task(ledger.conversations.create("owner", title="Kept"))
        await asyncio.sleep(0)
    made = await making

    assert failures == []
    assert request in await stored(ledger)
    assert (await ledger.conversations.get(made.id, "owner")).conversation.title == "Kept"


@pytest.mark.sqlite
async def test_a_database_that_turned_read_only_is_survived(ledger: Ledger) -> None:
    with connections_with(ledger.database, "PRAGMA query_only = ON"):
        ledger.open_request()
        with pytest.raises(LedgerUnavailable, match=r"not be saved: .*readonly"):
            await ledger.conversations.create("owner")
        await ledger.writer.drained()
        assert ledger.writer.losses.count == 1
        assert ledger.writer.losses.failing

    ledger.record()
    await ledger.writer.drained()
    assert (ledger.writer.losses.count, ledger.writer.losses.failing) == (1, False)


@pytest.mark.sqlite
async def test_a_lock_held_elsewhere_is_waited_for(ledger: Ledger) -> None:
    with closing(sqlite3.connect(ledger.file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        request_id = ledger.open_request()
        other.execute("ROLLBACK")

    assert await stored(ledger) == {request_id}


@pytest.mark.sqlite
async def test_a_lock_that_is_never_given_back_does_not_stop_the_writer(
    ledger: Ledger,
) -> None:
    with (
        connections_with(ledger.database, "PRAGMA busy_timeout = 50"),
        closing(sqlite3.connect(ledger.file, isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        ledger.open_request()
        await ledger.writer.drained()
        assert "locked" in str(ledger.writer.losses.reason)
        other.execute("ROLLBACK")

    request_id = ledger.open_request()
    assert await stored(ledger) == {request_id}


async def test_too_long_a_queue_is_counted_not_kept(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "MAX_QUEUED", 3)
    with paused(ledger):
        kept = {ledger.open_request() for _ in range(3)}
        for _ in range(2):
            ledger.open_request()

    monkeypatch.undo()
    assert await stored(ledger) == kept
    assert ledger.writer.losses.count == 2


async def test_close_stores_what_is_queued_and_takes_no_more(ledger: Ledger) -> None:
    with paused(ledger):
        ids = {ledger.open_request() for _ in range(600)}
    ledger.writer.close()

    ledger.open_request()
    with pytest.raises(LedgerClosed):
        await ledger.conversations.create("owner")
    await ledger.writer.drained()
    ledger.writer.close()

    assert await stored(ledger) == ids
    assert ledger.writer.losses.count == 1


async def test_close_gives_up_in_time(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    with paused(ledger):
        ledger.writer.close(timeout=0.01)
    assert "could not be closed within" in caplog.text
