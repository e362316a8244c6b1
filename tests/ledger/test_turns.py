"""What was asked is stored once, and read whole."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from appliance.ledger.forget import forget_requests
from appliance.ledger.turns import unneeded_turns
from tests.ledger.support import Ledger, at_schema

pytestmark = pytest.mark.anyio

Said = list[dict[str, Any]]
SYSTEM = {"role": "system", "content": "You are brief."}


def chat(turns: int, size: int = 500) -> Said:
    """A conversation of so many questions, each about `size` characters long."""
    said: Said = [SYSTEM]
    for n in range(turns):
        said.append({"role": "user", "content": f"question {n} ".ljust(size, "q")})
        said.append({"role": "assistant", "content": f"answer {n} ".ljust(size, "a")})
    return said[:-1]


def count(ledger: Ledger, table: str) -> int:
    ((found,),) = ledger.sql(f"select count(*) from {table}")
    return int(found)


def bytes_of_parts(ledger: Ledger) -> int:
    ((found,),) = ledger.sql("select sum(length(cast(content as text))) from part")
    return int(found)


async def input_of(ledger: Ledger, request_id: str) -> Any:
    detail = await ledger.queries.request(request_id, owner=None)
    assert detail is not None
    assert detail.generation is not None
    return detail.generation.input


async def test_a_chat_grows_by_what_is_new_and_every_request_is_read_whole(ledger: Ledger) -> None:
    asked = {n: ledger.record(asked={"input": chat(n)}) for n in range(1, 41)}
    await ledger.writer.drained()

    assert count(ledger, "part") == count(ledger, "turn") == len(chat(40))
    assert bytes_of_parts(ledger) < 80 * 600  # and not 40 * 40 * 600
    for n in (1, 2, 40):
        assert await input_of(ledger, asked[n]) == chat(n)


async def test_a_message_that_is_said_in_two_chats_is_one_part(ledger: Ledger) -> None:
    hello, bye = ({"role": "user", "content": text} for text in ("hello", "bye"))
    first = ledger.record(asked={"input": [SYSTEM, hello, bye]})
    second = ledger.record(asked={"input": [bye, hello]})
    again = ledger.record(asked={"input": [bye, hello]})

    assert await input_of(ledger, first) == [SYSTEM, hello, bye]
    assert await input_of(ledger, second) == [bye, hello] == await input_of(ledger, again)
    assert (count(ledger, "part"), count(ledger, "turn")) == (3, 5)


async def test_tools_and_forms_are_stored_once_however_often_they_are_sent(ledger: Ledger) -> None:
    tools = [{"name": f"tool_{n}", "description": "what it does " * 80} for n in range(20)]
    form = {"type": "object", "properties": {"名": {"type": "string"}}}
    asked = [ledger.record(asked={"tools": tools, "form": form}) for _ in range(30)]
    ledger.record(asked={"form": "[a-z]+"})
    await ledger.writer.drained()

    assert count(ledger, "part") == 1 + 3
    assert bytes_of_parts(ledger) < 30_000
    detail = await ledger.queries.request(asked[-1], owner=None)
    assert detail is not None
    assert detail.generation is not None
    assert (detail.generation.tools, detail.generation.form) == (tools, form)


@pytest.mark.parametrize(
    "said",
    [
        "a raw prompt",
        "",
        [{"role": "user", "content": ""}],
        [{"role": "user", "content": "same"}, {"role": "user", "content": "same"}],
        [{"role": "assistant", "content": "", "tool_calls": [{"id": "1", "arguments": "{}"}]}],
    ],
)
async def test_any_input_is_read_as_it_was_said(ledger: Ledger, said: Any) -> None:
    assert await input_of(ledger, ledger.record(asked={"input": said})) == said


async def test_a_row_of_the_view_reads_like_any_other_in_plain_sql(ledger: Ledger) -> None:
    ledger.record(key_name="anna", asked={"input": chat(2, size=1)})
    await ledger.writer.drained()
    said = "input ->> '$[1].content'" if ledger.database.is_sqlite else "input -> 1 ->> 'content'"
    found = ledger.sql(
        f"select key_name, json_array_length(input), {said}, output "
        "from generation join request on request.id = request_id "
        "where cast(input as text) like '%question 1%'"
    )
    assert found == [("anna", 4, "question 0 ", "A book that remembers.")]


async def test_what_is_deleted_by_hand_leaves_turns_that_the_sweep_finds(ledger: Ledger) -> None:
    kept = ledger.record(asked={"input": chat(2)})
    ledger.record(asked={"input": chat(5)})
    ledger.record(asked={"input": chat(2), "tools": [{"name": "look"}], "form": "a*"})
    await ledger.writer.drained()
    ledger.sql(f"delete from request where id <> '{kept}'")

    with ledger.database.reading() as session:
        assert len(unneeded_turns(session, 10)) == 1
    assert await ledger.retention.sweep() == 0

    assert count(ledger, "turn") == count(ledger, "part") == len(chat(2))
    assert await input_of(ledger, kept) == chat(2)


ROWS_BEFORE_TOOLS = """
insert into request (id, created_at, method, path, status) values
    ('r1', '2026-08-01 09:30:00.000000', 'POST', '/v1/chat/completions', 200);
insert into part (id, hash, content) values (1, 'a', '{"role": "user", "content": "Hi"}');
insert into turn (id, parent_id, part_id, hash) values (1, 0, 1, 'b');
insert into generation_row (id, request_id, model, precision, engine, parameters, turn_id) values
    ('g1', 'r1', 'm', 'int8', 'transformers', '{"tools": ["look"]}', 1);
"""


@pytest.mark.sqlite
async def test_a_row_from_before_tools_were_kept_is_read_and_goes_like_any_other(
    tmp_path: Path,
) -> None:
    file = tmp_path / "appliance.db"
    at_schema(file, "0009")
    with closing(sqlite3.connect(file)) as rows:
        rows.executescript(ROWS_BEFORE_TOOLS)
    ledger = Ledger(file)
    try:
        old = await ledger.queries.request("r1", owner=None)
        await ledger.writer.execute(lambda session: forget_requests(session, ["r1"]))
        left = [ledger.sql(f"select * from {table}") for table in ("part", "turn", "generation")]
    finally:
        ledger.close()
    assert old is not None
    assert old.generation is not None
    assert old.generation.input == [{"role": "user", "content": "Hi"}]
    assert old.generation.parameters == {"tools": ["look"]}
    assert (old.generation.tools, old.generation.form) == (None, None)
    assert left == [[], [], []]
