"""The history as it is narrowed: by filters, by words in any script, page by page, bounded."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ulid import ULID

from appliance.domain import Timings
from appliance.errors import InvalidRequest
from appliance.ledger import charts, find, search, ways
from appliance.ledger import words as indexed
from appliance.ledger.filters import Selection, first_id
from appliance.ledger.history import History
from appliance.ledger.ids import new_id
from appliance.ledger.mine import Mine
from appliance.ledger.search_index import SERVER_INDEX
from tests.ledger.support import Ledger

pytestmark = pytest.mark.anyio


@pytest.fixture
def history(ledger: Ledger) -> History:
    return History(ledger.database, ledger.writer)


def asked(text: str, **more: Any) -> dict[str, Any]:
    return {"asked": {"input": [{"role": "user", "content": text}]}, **more}


async def ids(history: History, **chosen: Any) -> list[str]:
    """Everything of a selection, page after page."""
    found, before = [], None
    while True:
        page = await history.page(Selection(**chosen), before=before, limit=2)
        found += [row.id for row in page.rows]
        before = page.next_before
        if before is None:
            return found


FILTERS: tuple[tuple[dict[str, Any], str], ...] = (
    ({}, "dcba"),
    ({"key": "anna"}, "ca"),
    ({"owner": "anna"}, "ca"),
    ({"owner": "anna", "key": "ben"}, ""),
    ({"ip": "10.0.0.9"}, "b"),
    ({"route": "/v1/chat/completions"}, "b"),
    ({"model": "other"}, "c"),
    ({"dialect": "chat"}, "a"),
    ({"status": 200}, "cba"),
    ({"status": 4}, "d"),
    ({"status": 4, "answers": False}, "d"),
    ({"failed": True}, "db"),
    ({"slow": True}, "c"),
    ({"feedback": "up"}, "a"),
    ({"feedback": "any", "key": "anna"}, "a"),
    ({"feedback": "down"}, ""),
    ({"key": "anna", "model": "other", "slow": True}, "c"),
    ({"answers": False}, "edcba"),
)


async def test_every_filter(ledger: Ledger, history: History) -> None:
    names = {
        "a": ledger.record(key_name="anna", asked={"dialect": "chat"}),
        "b": ledger.record(
            key_name="ben",
            request={"client_ip": "10.0.0.9", "path": "/v1/chat/completions"},
            answered={"error": "boom"},
        ),
        "c": ledger.record(key_name="anna", asked={"model": "other"}),
    }
    refused = ledger.open_request()
    ledger.open_generation(refused)
    ledger.recorder.close_request(refused, status=429, duration_ms=1, key_name=None)
    view = ledger.open_request(method="GET", path="/history")
    ledger.recorder.close_request(names["c"], status=200, duration_ms=10_001, key_name="anna")
    names |= {"d": refused, "e": view}
    await history.rate(names["a"], "owner", 1, "")

    for chosen, expected in FILTERS:
        found = await ids(history, **chosen)
        assert (chosen, found) == (chosen, [names[letter] for letter in expected])


async def test_time_is_a_range_of_ids(ledger: Ledger, history: History) -> None:
    now = datetime.now(UTC)
    ledger.record()
    assert len(await ids(history, since=now - timedelta(minutes=1))) == 1
    assert await ids(history, until=now - timedelta(minutes=1)) == []
    assert first_id(now - timedelta(seconds=1)) < new_id() < first_id(now + timedelta(minutes=1))


WORDS = (
    "remembers",
    "REMEMB",
    "ledger",
    "账本",
    "账本在哪里",
    "哪",
    "想一想",
    "100%_sure",
    "a 'quoted' one",
)
NO_WORDS = ("remembered", "100x_sure", "100%xsure", "本账", "%%%", "___")


async def test_words_are_found_in_question_answer_and_thinking(
    ledger: Ledger, history: History
) -> None:
    ledger.record(**asked("nothing of the kind"), answered={"output": "no", "reasoning": None})
    wanted = ledger.record(
        **asked("What is a ledger? 账本在哪里"),
        answered={
            "output": "A book that remembers, 100%_sure: a 'quoted' one",
            "reasoning": "想一想再说",
        },
    )
    for words in WORDS:
        assert (words, await ids(history, words=words)) == (words, [wanted])
    for words in NO_WORDS:
        assert (words, await ids(history, words=words)) == (words, [])


async def test_the_same_question_is_found_for_everyone_who_asked_it(
    ledger: Ledger, history: History
) -> None:
    first = ledger.record(key_name="anna", **asked("the same question"))
    second = ledger.record(key_name="ben", **asked("the same question"))
    assert await ids(history, words="same question") == [second, first]
    assert await ids(history, words="same question", owner="anna") == [first]


async def test_what_is_deleted_is_not_found(ledger: Ledger, history: History) -> None:
    ledger.record(key_name="anna", **asked("a secret wish"))
    await Mine(ledger.database, ledger.writer).delete("anna")
    assert await ids(history, words="secret wish") == []


async def test_a_rare_match_far_back_is_reached_in_steps(
    ledger: Ledger, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ways, "FIRST_LOOK", 5)
    monkeypatch.setattr(find, "MOST_LOOKED_AT", 10)
    wanted = ledger.record(key_name="anna", asked={"model": "other"})
    for _ in range(30):
        ledger.record(key_name="anna")
        ledger.record(key_name="ben", asked={"model": "other"})

    first = await history.page(Selection(key="anna", model="other"), limit=3)
    assert (first.rows, first.complete) == ((), False)
    assert first.next_before is not None
    assert await ids(history, key="anna", model="other") == [wanted]


async def test_words_of_few_requests_are_read_there_and_those_of_a_time_no_further(
    ledger: Ledger, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find, "ENOUGH_SECONDS_FOR_WORDS", 0.0)
    monkeypatch.setattr(ways, "FIRST_LOOK", 5)
    monkeypatch.setattr(indexed, "FIRST_STRETCH", 7)
    monkeypatch.setattr(indexed, "READ_AT_ONCE", 7)
    for module in (indexed, search):
        monkeypatch.setattr(module, "TEXTS_IN_FLIGHT", 3)
    wanted = ledger.record(key_name="anna", **asked("a Zebra, 100%"))
    for _ in range(30):
        middle = ledger.record(key_name="ben", **asked("a zebra 100x"))

    page = await history.page(Selection(key="anna", words="zebra, 100%"), limit=3)
    assert ([row.id for row in page.rows], page.complete) == ([wanted], True)
    assert page.next_before is None
    since = datetime.now(UTC)
    await asyncio.sleep(0.002)  # ids tell milliseconds
    newest = ledger.record(key_name="ben", **asked("nothing striped"))
    page = await history.page(Selection(since=since, words="zebra"), limit=3)
    assert (page.rows, page.complete, page.next_before) == ((), True, None)
    assert middle < newest


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search stops after each stretch, and stretches are short."""
    monkeypatch.setattr(find, "ENOUGH_SECONDS_FOR_WORDS", 0.0)
    monkeypatch.setattr(indexed, "FIRST_STRETCH", 7)
    monkeypatch.setattr(indexed, "READ_AT_ONCE", 7)
    for module in (indexed, search):
        monkeypatch.setattr(module, "TEXTS_IN_FLIGHT", 3)


def record_zebras(ledger: Ledger) -> list[str]:
    """Forty that are answered late, each amid another; on a server in two stretches of texts."""
    if not ledger.database.is_sqlite:
        ledger.sql(f"alter sequence searched_id_seq restart with {(1 << search.STRETCH_BITS) - 80}")
    wanted = []
    for number in range(40):
        # Two are under way at the same time, and the second is answered first.
        first, second = (ledger.open_request() for _ in range(2))
        slow = ledger.open_generation(first, input=f"the zebra {number}.")
        quick = ledger.open_generation(second, input="no such animal")
        ledger.close_generation(quick, output="nothing")
        ledger.close_generation(slow, output=f"a zebra {number}.")
        wanted.append(first)
    return wanted[::-1]


async def assert_found_in_steps(history: History, wanted: list[str]) -> None:
    page = await history.page(Selection(words="zebra"), limit=30)
    assert page.next_before is not None
    assert not page.complete
    assert await ids(history, words="zebra") == wanted
    assert await ids(history, words="zebra 7.") == [wanted[-8]]
    assert await ids(history, words="eb") == wanted, "too short for the index"
    assert await ids(history, words="brazen zebra") == []


@pytest.mark.usefixtures("impatient")
async def test_a_search_that_takes_long_goes_on_where_it_stopped_and_leaves_nothing_out(
    ledger: Ledger, history: History
) -> None:
    wanted = record_zebras(ledger)
    await assert_found_in_steps(history, wanted)


@pytest.mark.postgresql
@pytest.mark.usefixtures("impatient")
async def test_a_server_without_the_index_is_searched_in_steps_too(empty: str) -> None:
    ledger = Ledger(empty)
    try:
        ledger.sql(f"drop index {SERVER_INDEX}")
        wanted = record_zebras(ledger)
        await assert_found_in_steps(History(ledger.database, ledger.writer), wanted)
    finally:
        ledger.close()


async def test_saved_views_and_ratings_are_each_persons_own(
    ledger: Ledger, history: History
) -> None:
    request = ledger.record()
    await history.save_view("anna", "  slow   ones ", "slow=1")
    await history.save_view("anna", "slow ones", "slow=1&key=anna")
    assert [(v.name, v.query) for v in await history.views("anna")] == [
        ("slow ones", "slow=1&key=anna")
    ]
    assert await history.views("ben") == []
    await history.rate(request, "anna", 1, " fine ")
    await history.rate(request, "ben", -1, "")
    assert (await history.ratings([request], "anna"))[request].note == "fine"
    await history.rate(request, "anna", None, "")
    assert await history.ratings([request], "anna") == {}
    with pytest.raises(InvalidRequest):
        await history.save_view("anna", " ", "")
    with pytest.raises(InvalidRequest):
        await history.rate(request, "anna", 5, "")


async def test_charts_count_by_hour_and_key(ledger: Ledger, history: History) -> None:
    now = datetime.now(UTC)
    for key, ms in (("anna", 100.0), ("anna", 300.0), ("ben", 200.0)):
        ledger.record(key_name=key, answered={"timings": Timings(0, ms / 2, ms)})
    found = await history.charts(Selection(), now - timedelta(hours=5), timedelta(hours=1))
    assert found.complete
    assert 6 <= len(found.slots) <= 7
    assert sum(slot.requests for _, slot in found.slots) == found.whole.requests == 3
    assert [(name, figures.requests) for name, figures in found.by_key] == [("anna", 2), ("ben", 1)]
    assert (found.whole.total_p50, found.whole.total_p95) == (200, 300)
    only = await history.charts(Selection(key="ben"), now - timedelta(hours=5), timedelta(hours=1))
    assert only.whole.requests == 1


async def test_charts_of_too_much_begin_where_they_could_look(
    ledger: Ledger, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = datetime.now(UTC)
    for number in range(6):
        moment = begun - timedelta(hours=12 - number)
        old = str(ULID.from_datetime(moment))
        key = ("anna", "ben")[number % 2]
        ledger.record(key_name=key, request={"id": old, "created_at": moment})
    monkeypatch.setattr(charts, "MOST_ROWS", 3)
    since, hour = begun - timedelta(days=1), timedelta(hours=1)
    found = await history.charts(Selection(since=since), since, hour)
    assert (found.complete, found.whole.requests) == (False, 4)
    assert begun - timedelta(hours=11) < found.slots[0][0] <= begun - timedelta(hours=10)
    only = await history.charts(Selection(since=since, key="ben", owner="ben"), since, hour)
    assert (only.complete, only.whole.requests) == (True, 3)
    nothing = await history.charts(Selection(since=since, key="carla"), since, hour)
    assert (nothing.complete, nothing.whole.requests) == (True, 0)
