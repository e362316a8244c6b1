"""What is deleted is gone: from the rows, the search, the file and what lies beside it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from appliance.ledger import retention
from appliance.ledger.mine import Mine
from appliance.ledger.retention import Keep, Retention
from tests.ledger.support import Ledger

pytestmark = pytest.mark.anyio

NOW = datetime.now(UTC)
TEXT_COLUMNS = (
    ("part", "content"),
    ("searched", "text"),
    ("generation_row", "output"),
    ("generation_row", "reasoning"),
)
SECRETS = ("zebrafish", "quagmire", "periwinkle", "marzipan", "tumbleweed")


def tell(ledger: Ledger, key_name: str, *, days: float = 0, long: int = 0) -> str:
    """A request with a secret in what was asked, thought, answered, offered and demanded.

    `long` pads it."""
    asked, thought, answered, offered, demanded = SECRETS
    said = [
        {"role": "system", "content": "You are brief."},
        {"role": "user", "content": f"My secret is {asked}, said {key_name}. " + "x" * long},
    ]
    return ledger.record(
        key_name=key_name,
        request={"created_at": NOW - timedelta(days=days)},
        asked={
            "input": said,
            "tools": [{"name": "look", "description": f"Finds {offered}, said {key_name}."}],
            "form": f"({demanded}|{key_name})",
        },
        answered={"output": f"I know {answered}.", "reasoning": f"They hide {thought}."},
    )


def places(ledger: Ledger, words: tuple[str, ...] = SECRETS) -> list[str]:
    """The files, or the columns of a server, in which one of these can be read."""
    found = []
    if not ledger.database.is_sqlite:
        for table, column in TEXT_COLUMNS:
            for word in words:
                like = f"cast({column} as text) like '%{word}%'"
                found += [table for _ in ledger.sql(f"select 1 from {table} where {like}")]
        return found
    for file in sorted(ledger.file.parent.glob(ledger.file.name + "*")):
        data = file.read_bytes()
        found += [file.name for word in words if word.encode() in data]
    return found


async def whole(ledger: Ledger, request_id: str) -> Any:
    return await ledger.queries.request(request_id, owner=None)


async def test_my_requests_are_counted_taken_away_and_deleted_down_to_the_bytes(
    ledger: Ledger,
) -> None:
    mine = Mine(ledger.database, ledger.writer)
    for long in (0, 20_000):  # in a page, and over several
        tell(ledger, "anna", long=long)
    theirs = ledger.record(key_name="ben", asked={"input": "Ben's own words"})
    assert await mine.count("anna") == 2
    assert places(ledger), "the test would otherwise see nothing"
    exported = [json.loads(line) async for line in mine.export("anna")]
    assert [row["key_name"] for row in exported] == ["anna", "anna"]
    assert exported[0]["generations"][0]["input"][1]["content"].startswith("My secret is zebrafish")

    assert await mine.delete("anna") == 2

    assert places(ledger) == []
    assert await mine.count("anna") == 0
    detail = await whole(ledger, theirs)
    assert detail.generation.input == "Ben's own words"


async def test_one_request_can_be_deleted_and_only_ones_own(ledger: Ledger) -> None:
    mine = Mine(ledger.database, ledger.writer)
    first, second, bens = (tell(ledger, name) for name in ("anna", "anna", "ben"))

    assert await mine.delete("anna", [first, bens, "nonsense"]) == 1

    assert await whole(ledger, first) is None
    for kept in (second, bens):
        assert (await whole(ledger, kept)).generation.input[1]["content"].startswith("My secret")


async def test_texts_go_first_and_metadata_later(ledger: Ledger) -> None:
    young, old, ancient = (tell(ledger, f"k{days}", days=days) for days in (1, 40, 400))
    keep = Keep(days=365, content_days=30)

    assert await Retention(ledger.database, ledger.writer, keep).sweep(NOW) == 2

    assert await whole(ledger, ancient) is None
    detail = await whole(ledger, old)
    assert (detail.request.log_content, detail.generation.prompt_tokens) == ("metadata", 12)
    texts = ("input", "output", "reasoning", "tools", "form")
    assert [getattr(detail.generation, name) for name in texts] == [None] * 5
    detail = await whole(ledger, young)
    assert detail.request.log_content == "full"
    assert detail.generation.input[0] == {"role": "system", "content": "You are brief."}
    assert detail.generation.form == "(tumbleweed|k1)"
    assert places(ledger, ("said k40", "said k400")) == []
    assert places(ledger, ("said k1.",)) != []


@pytest.mark.sqlite
async def test_the_oldest_rows_make_room(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "ROWS_AT_ONCE", 5)
    for day in range(40, 0, -1):
        tell(ledger, "anna", days=day, long=50_000)
    await ledger.writer.drained()
    assert ledger.database.empty_wal()
    size = ledger.file.stat().st_size

    gone = await Retention(ledger.database, ledger.writer, Keep(bytes=size // 2)).sweep(NOW)

    assert 10 <= gone <= 30
    page = await ledger.queries.requests(owner=None, limit=100)
    assert len(page.rows) == 40 - gone
    assert min(row.created_at for row in page.rows) > NOW - timedelta(days=41 - gone)
    assert ledger.file.stat().st_size < size * 0.7, "the file has given the room back"


async def test_an_open_request_outlives_a_deletion(ledger: Ledger) -> None:
    opened = ledger.open_request()
    ledger.open_generation(opened)

    await Mine(ledger.database, ledger.writer).delete("owner")

    assert (await whole(ledger, opened)).request.status is None
    assert ledger.writer.losses.count == 0


@pytest.mark.sqlite
def test_the_files_of_a_ledger_are_those_that_are_searched(ledger: Ledger) -> None:
    assert ledger.file in set(Path(ledger.file.parent).glob(ledger.file.name + "*"))
