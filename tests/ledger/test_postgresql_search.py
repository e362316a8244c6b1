"""The search on PostgreSQL: its index, what it does without one, and what the server remembers."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from appliance.ledger.database import Database
from appliance.ledger.filters import Selection
from appliance.ledger.history import History
from appliance.ledger.search import Stretch, newest_matches
from appliance.ledger.search_index import SERVER_INDEX
from tests.ledger.support import Ledger, at_schema

pytestmark = [pytest.mark.anyio, pytest.mark.postgresql]


def test_words_are_searched_in_one_stretch_of_the_index(ready: Ledger) -> None:
    query = newest_matches("ledger", Stretch(1 << 15, 2 << 15, "stretch"), before=None, most=50)
    literal = {"literal_binds": True}
    text = str(query.compile(ready.database.engine, compile_kwargs=literal)).replace("%%", "%")
    with psycopg.connect(str(ready.place)) as connection:
        connection.execute("set enable_seqscan = off")
        steps = "\n".join(row[0] for row in connection.execute(f"explain {text}".encode()))
    assert SERVER_INDEX in steps
    assert "searched_pkey" not in steps
    (condition,) = (line for line in steps.splitlines() if "Index Cond" in line)
    assert "((id >> 15) = 1)" in condition
    assert "%ledger%" in condition


def indexes(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        return {name for (name,) in connection.execute("select indexname from pg_indexes")}


def test_the_index_of_the_search_before_is_replaced(empty: str) -> None:
    at_schema(empty, "0011")
    before = "create index searched_trigrams on searched using gin (text gin_trgm_ops)"
    with psycopg.connect(empty) as connection:
        connection.execute(f"drop index {SERVER_INDEX}; {before}".encode())
    Ledger(empty).close()
    assert SERVER_INDEX in indexes(empty)
    assert "searched_trigrams" not in indexes(empty)


async def test_the_servers_statistics_keep_nothing_of_what_was_said(
    empty: str, tmp_path: Path
) -> None:
    at_schema(empty, "0011")
    with psycopg.connect(empty) as connection:
        for row in range(60):
            one = OLD_ROWS.replace("%", f"{row:02}").replace("zebra", f"zebra {row % 50}")
            connection.execute(one.encode())
        connection.execute("analyze")
    assert "zebra" in samples(empty), "the test would otherwise see nothing"
    database = Database(empty)
    database.migrate(copies=tmp_path)
    database.close()
    assert "zebra" not in samples(empty)
    with psycopg.connect(empty) as connection:
        connection.execute("analyze")
    assert "zebra" not in samples(empty)
    assert "chat" in samples(empty), "what is no text may be sampled"
    ledger = Ledger(empty)
    try:
        found = await ledger.queries.request("r07", owner=None)
    finally:
        ledger.close()
    assert found is not None
    assert found.generation is not None
    assert found.generation.output == "a zebra 7"


OLD_ROWS = """
insert into request (id, created_at, method, path) values ('r%', now(), 'POST', '/generate');
insert into generation_row (id, request_id, model, precision, engine, parameters, output, dialect)
values ('g%', 'r%', 'Qwen/Qwen3-8B', 'int8', 'transformers', '{}', 'a zebra', 'chat');
insert into searched (request_id, text) values ('r%', 'a zebra');
insert into feedback (id, request_id, by, created_at, note)
values ('f%', 'r%', 'a', now(), 'zebra');
"""


def samples(url: str) -> str:
    """All that the server keeps of values to plan by."""
    values = "coalesce(most_common_vals::text, '') || coalesce(histogram_bounds::text, '')"
    ours = "schemaname = 'public'"
    with psycopg.connect(url) as connection:
        found = connection.execute(f"select {values} from pg_stats where {ours}".encode())
        return "\n".join(sample for (sample,) in found)


async def test_who_may_not_add_extensions_searches_without_the_index(empty: str) -> None:
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute("create role guest login")
        connection.execute("grant all on schema public to guest")
    try:
        ledger = Ledger(empty.replace("appliance@", "guest@"))
        try:
            wanted = ledger.record(asked={"input": "a kingfisher"})
            page = await History(ledger.database, ledger.writer).page(Selection(words="KINGF"))
            assert [row.id for row in page.rows] == [wanted]
        finally:
            ledger.close()
        assert SERVER_INDEX not in indexes(empty)
    finally:
        with psycopg.connect(empty, autocommit=True) as connection:
            connection.execute("drop owned by guest; drop role guest")
