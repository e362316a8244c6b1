"""docs/ledger.md is executed: its questions run, and its tables are the tables."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from appliance.domain import Timings
from appliance.ledger.schema import metadata
from tests.ledger.support import Ledger

pytestmark = [pytest.mark.anyio, pytest.mark.sqlite]

DOCUMENT = (Path(__file__).parents[2] / "docs" / "ledger.md").read_text(encoding="utf-8")
QUESTIONS = re.findall(r"([^\n]+\?)\n\n```sql\n(.+?)```", DOCUMENT, re.DOTALL)


@pytest.fixture
async def week(ledger: Ledger) -> Path:
    """A ledger in which every question of the page has an answer."""
    first = ledger.record(key_name="Anna")
    ledger.record(key_name="Anna", answered={"cached_from": first})
    ledger.record(
        key_name="Ben",
        answered={
            "error": "The engine died.",
            "finish_reason": "error",
            "timings": Timings(queue_ms=900, ttft_ms=4000, duration_ms=5000),
        },
    )
    await ledger.writer.drained()
    return ledger.file


def test_there_are_six_questions() -> None:
    assert len(QUESTIONS) == 6


@pytest.mark.parametrize(("question", "sql"), QUESTIONS, ids=[q for q, _ in QUESTIONS])
async def test_a_question_is_answered(week: Path, question: str, sql: str) -> None:
    with closing(sqlite3.connect(week)) as database:
        rows = database.execute(sql).fetchall()

    told = str(rows)
    expected = {
        "What was asked": ("Anna", "Ben", "What is a ledger?", "A book that remembers."),
        "Who uses": ("Anna", "Ben", "24, 12"),
        "Which answers": ("4.0", "0.9"),
        "What went wrong": ("The engine died.",),
        "Who has ever": ("Anna", "Ben", "What is a ledger?"),
        "How often did": ("1, 2)",),
    }
    beginning = next(start for start in expected if question.startswith(start))
    assert all(part in told for part in expected[beginning])
    assert beginning != "What went wrong" or len(rows) == 1


@pytest.mark.parametrize("table", sorted(metadata.tables))
def test_every_column_is_explained(table: str) -> None:
    (section,) = re.findall(rf"\n### `{table}`(.+?)(?=\n##|\Z)", DOCUMENT, re.DOTALL)
    first_cells = re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE)
    explained = [column for cell in first_cells for column in re.findall(r"`(\w+)`", cell)]
    assert explained == metadata.tables[table].columns.keys()
