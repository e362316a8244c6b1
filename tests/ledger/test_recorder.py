"""The life of a row: opened, closed, or found open after a crash."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ulid import ULID

from appliance.domain import Timings
from appliance.ledger.ids import new_id
from tests.ledger.support import Ledger

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]


NOTES: dict[str, Any] = {
    "dialect": "chat",
    "conversation_id": "01J0000000000000000000000B",
    "assistant": "tutor",
    "replay_of": "01J0000000000000000000000C",
    "seed": 2**62,
    "engine_version": "5.14",
    "input_bytes": 17,
    "trace_id": "0af7651916cd43dd8448eb211c80319c",
    "tools": [{"name": "look_up", "parameters": {"type": "object"}}],
    "form": ["是", "no"],
}
MEASURED: dict[str, Any] = {
    "queue_place": 3,
    "output_bytes": 22,
    "model_hash": "9f86d081",
    "joules": 41.5,
}


async def test_a_request_and_its_generation_are_stored_whole(ledger: Ledger) -> None:
    arrived = datetime(2026, 8, 1, 9, 30, tzinfo=UTC)

    request_id = ledger.record(
        key_name="Anna",
        request={"created_at": arrived, "client_request_id": "trace-7"},
        answered={
            "reasoning": "They ask for a definition.",
            "tool_calls": [{"id": "call_1", "name": "look_up", "arguments": "{}"}],
            "cached_from": "01J0000000000000000000000A",
            **MEASURED,
        },
        asked=NOTES,
    )

    detail = await ledger.queries.request(request_id, owner=None)
    assert detail is not None
    assert detail.generation is not None
    assert detail.request.model_dump() == {
        "id": request_id,
        "created_at": arrived,
        "method": "POST",
        "path": "/generate",
        "status": 200,
        "duration_ms": 101.0,
        "client_ip": "192.168.1.20",
        "key_name": "Anna",
        "user_agent": "curl/8.5",
        "error": None,
        "client_request_id": "trace-7",
        "log_content": "full",
        "front": None,
    }
    assert detail.generation.model_dump(exclude={"id"}) == {
        "request_id": request_id,
        "model": "Qwen/Qwen3-8B",
        "precision": "int8",
        "engine": "transformers",
        "parameters": {"temperature": 0.7, "max_tokens": 512},
        "input": [{"role": "user", "content": "What is a ledger?"}],
        "output": "A book that remembers.",
        "reasoning": "They ask for a definition.",
        "prompt_tokens": 12,
        "cached_tokens": 4,
        "completion_tokens": 6,
        "queue_ms": 1.0,
        "ttft_ms": 20.0,
        "duration_ms": 100.0,
        "finish_reason": "stop",
        "error": None,
        "reasoning_tokens": 2,
        "tool_calls": [{"id": "call_1", "name": "look_up", "arguments": "{}"}],
        "cached_from": "01J0000000000000000000000A",
        "tpot_ms": 16.0,
        **NOTES,
        **MEASURED,
    }


async def test_an_open_row_has_no_status_yet(ledger: Ledger) -> None:
    request_id = ledger.open_request()
    ledger.open_generation(request_id)

    detail = await ledger.queries.request(request_id, owner=None)

    assert detail is not None
    assert detail.generation is not None
    assert (detail.request.status, detail.generation.finish_reason) == (None, None)


async def test_a_refused_request_needs_no_generation(ledger: Ledger) -> None:
    request_id = ledger.open_request()
    ledger.recorder.close_request(
        request_id, status=429, duration_ms=0.26, key_name="Anna", error="rate_limit_exceeded"
    )

    detail = await ledger.queries.request(request_id, owner="Anna")

    assert detail is not None
    assert detail.generation is None
    assert (detail.request.status, detail.request.duration_ms) == (429, 0.3)
    assert detail.request.error == "rate_limit_exceeded"


async def test_a_failed_generation_keeps_what_was_said_and_knows_no_usage(ledger: Ledger) -> None:
    request_id = ledger.record(
        answered={
            "output": "Half an ans",
            "usage": None,
            "timings": Timings(queue_ms=1, ttft_ms=None, duration_ms=5),
            "finish_reason": "error",
            "error": "The engine died.",
        }
    )

    detail = await ledger.queries.request(request_id, owner=None)

    assert detail is not None
    assert detail.generation is not None
    assert detail.generation.output == "Half an ans"
    assert detail.generation.prompt_tokens is None
    assert detail.generation.ttft_ms is None


async def test_content_can_be_left_out(ledger: Ledger) -> None:
    ledger.record(asked={"input": None}, answered={"output": None})

    page = await ledger.queries.requests(owner=None)
    assert page.rows[0].generation is not None
    assert page.rows[0].generation.input_excerpt is None
    assert ledger.sql("select input, output from generation") == [(None, None)]


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("你好，世界 🦊 שלום", "你好，世界 🦊 שלום"),
        ("half \ud83e of a fox", "half \N{REPLACEMENT CHARACTER} of a fox"),
        ("a\0b\0\0c", "a\N{REPLACEMENT CHARACTER}b" + 2 * "\N{REPLACEMENT CHARACTER}" + "c"),
        (r"the text \u0000 itself", r"the text \u0000 itself"),
    ],
)
async def test_any_text_is_stored_readably(ledger: Ledger, sent: str, stored: str) -> None:
    message = {"role": "user", "content": sent}

    request_id = ledger.record(asked={"input": [message]}, answered={"output": sent})

    detail = await ledger.queries.request(request_id, owner=None)
    assert detail is not None
    assert detail.generation is not None
    assert detail.generation.output == stored
    assert detail.generation.input == [{"role": "user", "content": stored}]
    ((text,),) = ledger.sql("select cast(input as text) from generation")
    assert ("你好" in text) == ("你好" in sent)  # JSON as people read it, without \u escapes


WRITE_UNTIL_KILLED = """
import sys, anyio
from tests.ledger.support import Ledger

async def main() -> None:
    ledger = Ledger(sys.argv[1])
    conversation = await ledger.conversations.create("owner", title="cut off")
    await ledger.conversations.add_message(
        conversation.id, "owner", role="assistant", content="Once upon", status="streaming"
    )
    finished = ledger.record()
    opened = ledger.open_request()
    ledger.open_generation(opened)
    await ledger.writer.drained()
    print(conversation.id, finished, opened, flush=True)
    while True:
        ledger.record()

anyio.run(main)
"""


def write_until_killed(url: str) -> list[str]:
    """Lets another process write to the ledger and kills it in the middle of that."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITE_UNTIL_KILLED, url],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        ids = process.stdout.readline().split()
        process.kill()
    return ids


async def test_what_a_crash_left_open_is_marked_interrupted(database_url: str) -> None:
    conversation_id, finished, opened = write_until_killed(database_url)

    ledger = Ledger(database_url)
    try:
        marked = ledger.recorder.mark_interrupted()

        assert marked >= 1
        assert ledger.recorder.mark_interrupted() == 0
        detail = await ledger.queries.request(opened, owner=None)
        assert detail is not None
        assert detail.generation is not None
        assert (detail.request.status, detail.request.error) == (500, "interrupted")
        assert detail.generation.finish_reason == "interrupted"
        assert detail.generation.error == "interrupted"
        untouched = await ledger.queries.request(finished, owner=None)
        assert untouched is not None
        assert (untouched.request.status, untouched.request.error) == (200, None)
        chat = await ledger.conversations.get(conversation_id, "owner")
        assert [(m.status, m.error, m.content) for m in chat.messages] == [
            ("failed", "interrupted", "Once upon")
        ]
        if ledger.database.is_sqlite:
            assert ledger.sql("PRAGMA integrity_check") == [("ok",)]
    finally:
        ledger.close()


def test_ids_rise_within_a_process_even_when_the_clock_steps_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = new_id()
    monkeypatch.setattr("appliance.ledger.ids.time.time_ns", lambda: 0)

    ids = [before, *(new_id() for _ in range(1000))]

    assert ids == sorted(set(ids))
    assert all(str(ULID.from_str(one)) == one for one in ids)
