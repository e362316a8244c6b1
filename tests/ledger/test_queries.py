"""What pages ask: in pages that do not shift, for the right eyes, without scanning everything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.sql.expression import Executable

from appliance.domain import Timings, Usage
from appliance.ledger.conversation_list import page_of_conversations
from appliance.ledger.excerpt import EXCERPT_CHARACTERS
from appliance.ledger.queries import page_of_requests
from appliance.ledger.statistics import generations_since, percentile
from tests.ledger.support import Ledger

pytestmark = pytest.mark.anyio


@contextmanager
def statements(ledger: Ledger) -> Iterator[list[str]]:
    """Collects the SELECTs that run meanwhile."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith("SELECT"):
            seen.append(statement)

    event.listen(ledger.database.engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(ledger.database.engine, "before_cursor_execute", note)


def plan(ledger: Ledger, statement: Executable) -> str:
    """SQLite's plan for `statement`, one step a line."""
    compiled = statement.compile(  # type: ignore[attr-defined]
        ledger.database.engine, compile_kwargs={"literal_binds": True}
    )
    with ledger.database.reading() as session:
        rows = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}")
        return "\n".join(row.detail for row in rows)


async def test_pages_follow_each_other_while_rows_arrive(ledger: Ledger) -> None:
    ids = [ledger.record() for _ in range(7)]

    seen, before = [], None
    for _ in range(3):
        page = await ledger.queries.requests(owner=None, before=before, limit=3)
        seen += [row.id for row in page.rows]
        before = page.next_before
        ledger.record()

    assert seen == ids[::-1]
    assert before is None


async def test_a_page_is_two_queries_whatever_its_length(ledger: Ledger) -> None:
    for _ in range(60):
        ledger.record()
    await ledger.writer.drained()

    with statements(ledger) as seen:
        page = await ledger.queries.requests(owner=None, limit=50)

    assert len(page.rows) == 50
    assert all(row.generation is not None for row in page.rows)
    assert len(seen) == 2


async def test_an_owner_sees_only_their_own(ledger: Ledger) -> None:
    annas = ledger.record(key_name="Anna")
    owners = ledger.record(key_name="owner")

    assert [r.id for r in (await ledger.queries.requests(owner="Anna")).rows] == [annas]
    assert [r.id for r in (await ledger.queries.requests(owner=None)).rows] == [owners, annas]
    assert await ledger.queries.request(owners, owner="Anna") is None
    assert await ledger.queries.request(owners, owner=None) is not None
    assert await ledger.queries.request("no such id", owner=None) is None


async def test_page_views_can_be_left_out(ledger: Ledger) -> None:
    asked = ledger.record()
    view = ledger.open_request(method="GET", path="/history")

    everything = await ledger.queries.requests(owner=None)
    only_asked = await ledger.queries.requests(owner=None, generations_only=True)

    assert [row.id for row in everything.rows] == [view, asked]
    assert everything.rows[0].generation is None
    assert [row.id for row in only_asked.rows] == [asked]


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("Once upon a time", "Once upon a time"),
        ([{"role": "system", "content": "Be kind"}, {"role": "user", "content": "你好"}], "你好"),
        ("x" * 3_000_000, "x" * EXCERPT_CHARACTERS),
        ([{"role": "user", "content": "🦊" * 1000}], "🦊" * EXCERPT_CHARACTERS),
        ([], None),
        (None, None),
    ],
)
async def test_a_list_shows_the_beginning_of_what_was_asked(
    ledger: Ledger, asked: Any, shown: str | None
) -> None:
    ledger.record(asked={"input": asked}, answered={"output": "y" * 3_000_000})

    (row,) = (await ledger.queries.requests(owner=None)).rows

    assert row.generation is not None
    assert row.generation.input_excerpt == shown
    assert row.generation.output_excerpt == "y" * EXCERPT_CHARACTERS


async def test_throughput_counts_minute_by_minute(ledger: Ledger) -> None:
    now = datetime.now(UTC)
    for minutes_ago, duration_ms in [(0, 10), (2, 100), (2, 200), (2, 300), (99, 5)]:
        ledger.record(
            request={"created_at": now - timedelta(minutes=minutes_ago)},
            answered={
                "usage": Usage(prompt_tokens=1, completion_tokens=10),
                "timings": Timings(queue_ms=0, ttft_ms=1, duration_ms=duration_ms),
            },
        )
    ledger.open_generation(ledger.open_request(created_at=now - timedelta(minutes=2)))

    buckets = await ledger.queries.throughput(minutes=5)

    assert len(buckets) == 5
    assert all(b.minute - a.minute == timedelta(minutes=1) for a, b in pairwise(buckets))
    busy = {bucket.minute: bucket for bucket in buckets if bucket.requests}
    earlier = busy[(now - timedelta(minutes=2)).replace(second=0, microsecond=0)]
    assert (earlier.requests, earlier.completion_tokens) == (4, 30)
    assert (earlier.p50_ms, earlier.p95_ms) == (200, 300)
    assert len(busy) == 2
    quiet = next(bucket for bucket in buckets if not bucket.requests)
    assert (quiet.completion_tokens, quiet.p50_ms, quiet.p95_ms) == (0, None, None)


def test_percentiles_are_values_that_occurred() -> None:
    assert percentile([], 0.5) is None
    assert percentile([7], 0.95) == 7
    assert percentile(range(100, 0, -1), 0.50) == 50
    assert percentile(range(100, 0, -1), 0.95) == 95


async def test_totals_of_an_empty_ledger_are_zero(ledger: Ledger) -> None:
    totals = await ledger.queries.totals()
    assert (totals.since, totals.requests, totals.completion_tokens) == (None, 0, 0)


async def test_totals_count_everything(ledger: Ledger) -> None:
    first = datetime(2026, 8, 1, 12, tzinfo=UTC)
    ledger.record(request={"created_at": first})
    ledger.record(answered={"finish_reason": "error", "usage": None})
    ledger.open_request(path="/history")

    totals = await ledger.queries.totals()

    assert totals.since == first
    assert (totals.requests, totals.generations, totals.failed) == (3, 2, 1)
    assert (totals.prompt_tokens, totals.cached_tokens, totals.completion_tokens) == (12, 4, 6)


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("statement", "uses"),
    [
        (page_of_requests(None, "01M8", 50, False), "SEARCH request USING INDEX sqlite_auto"),
        (page_of_requests("Anna", "01M8", 50, False), "SEARCH request USING INDEX request_by_key"),
        (page_of_requests(None, None, 50, True), "COVERING INDEX generation_by_request"),
        (generations_since(datetime.now(UTC)), "SEARCH request USING INDEX request_by_time"),
        (
            page_of_conversations("owner", None, 50),
            "SEARCH conversation USING INDEX conversation_by_owner",
        ),
    ],
)
def test_queries_use_their_indexes(ledger: Ledger, statement: Executable, uses: str) -> None:
    steps = plan(ledger, statement)
    assert uses in steps
    assert "TEMP B-TREE" not in steps, "the index already has the order"


@pytest.mark.sqlite
async def test_totals_never_touch_the_long_texts(ledger: Ledger) -> None:
    ledger.record()
    await ledger.writer.drained()
    with statements(ledger) as seen:
        await ledger.queries.totals()

    assert len(seen) == 4
    with ledger.database.reading() as session:
        for statement in seen:
            literal = statement.replace("?, ?", "'error', 'interrupted'").replace("?", "0")
            rows = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {literal}")
            steps = "\n".join(row.detail for row in rows)
            assert "COVERING INDEX" in steps, statement
