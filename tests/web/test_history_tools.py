"""What one can do with the history: narrow it, save a view, follow it, rate, compare, take away."""

from __future__ import annotations

import csv
import io
import json
import re

import httpx2
import pytest
from starlette.requests import Request

from appliance.domain import Constraint
from appliance.web.history import _new_rows
from appliance.web.history_form import HistoryForm
from appliance.web.page import Page
from tests.waiting import until
from tests.web.reading import english_words
from tests.web.site import Site
from tests.web.test_history import record
from tests.web.visitors import OTHER_MACHINE, visitor

pytestmark = pytest.mark.anyio


async def test_filters_are_in_the_address_and_in_the_form(
    site: Site, client: httpx2.AsyncClient
) -> None:
    anna, ben = record(site, key_name="anna"), record(site, key_name="ben", output="账本会记忆")
    page = (await client.get("/history?key=anna&q=ledger&last=day")).text
    assert f"request-{anna}" in page
    assert f"request-{ben}" not in page
    assert 'name="key" type="text" value="anna"' in page
    assert '<option value="day" selected>' in page
    assert f"request-{ben}" in (await client.get("/history?q=账本会")).text
    assert "Nothing found" in (await client.get("/history?q=nowhere")).text
    for wrong in ("status=9", "last=year", "since=yesterday", f"q={'x' * 201}"):
        assert (await client.get(f"/history?{wrong}")).status_code == 400, wrong


async def test_a_view_is_saved_listed_and_forgotten(client: httpx2.AsyncClient) -> None:
    saved = await client.post("/history/views", data={"name": "Slow", "query": "slow=1&evil=2"})
    assert saved.headers["location"] == "/history?show=answers&slow=1"
    page = (await client.get("/history")).text
    assert '<a href="/history?show=answers&amp;slow=1">Slow</a>' in page
    await client.post("/history/views/delete", data={"name": "Slow"})
    assert ">Slow</a>" not in (await client.get("/history")).text


async def test_a_live_page_tells_of_what_came_since(site: Site, client: httpx2.AsyncClient) -> None:
    before = record(site)
    page = (await client.get("/history?live=1&key=anna")).text
    assert 'sse-connect="/history/live?after=0&amp;show=answers&amp;key=anna"' in page
    assert 'http-equiv="refresh"' in page
    assert "Pause" in page
    after = record(site)
    request = owners_request()
    caller = await site.parts.identify(request)
    form = HistoryForm()
    events = _new_rows(Page(request, site.parts, caller), form, form.selection(None), before)
    told = await anext(events)
    await events.aclose()
    assert f"request-{after}" in told
    assert f"request-{before}" not in told


async def test_thumbs_and_notes(site: Site, client: httpx2.AsyncClient) -> None:
    name = record(site)
    url = f"/history/{name}/feedback"
    await client.post(url, data={"rating": "1", "note": "so true"})
    page = (await client.get(f"/history/{name}")).text
    assert re.search(r'value="0" aria-pressed="true" aria-label="Good answer"', page)
    assert "so true" in page
    assert f"request-{name}" in (await client.get("/history?feedback=up")).text
    fragment = await client.post(url, data={"rating": "0"}, headers={"HX-Request": "true"})
    assert 'aria-pressed="true"' not in fragment.text
    assert (await client.post(url, data={"rating": "7"})).status_code == 400
    away = await client.post(url, data={"rating": "1", "back": "//evil.example"})
    assert away.headers["location"] == f"/history/{name}"
    _, secret = await site.keys.create("ben")
    async with visitor(site, OTHER_MACHINE, **{"x-api-key": secret}) as ben:
        assert (await ben.post(url, data={"rating": "-1"})).status_code == 404


async def test_run_again_with_changes_and_compare(site: Site, client: httpx2.AsyncClient) -> None:
    name = record(site, output="Hello old world.", parameters={"temperature": 0.7, "top_p": 0.9})
    asked = {"temperature": "0.1", "thinking": "off"}
    started = await client.post(f"/history/{name}/replay", data=asked)
    place = started.headers["location"]
    assert place.startswith(f"/history/{name}/compare/")
    await until(lambda: bool(site.gateway.asked), 10)
    request, origin = site.gateway.asked[0], site.gateway.origins[0]
    assert (request.sampling.temperature, request.sampling.top_p) == (0.1, 0.9)
    assert request.enable_thinking is False
    assert (origin.dialect, origin.replay_of is not None) == ("replay", True)

    other = record(site, output="Hello new world.", parameters={"temperature": 0.1})
    page = (await client.get(f"/history/{name}/compare/{other}")).text
    for shown in ("<del>old</del>", "<ins>new</ins>", "Hello ", "<td>0.7</td><td>0.1</td>"):
        assert shown in page
    same = (await client.get(f"/history/{name}/compare/{name}")).text
    assert "the same, word for word" in same
    wrong = await client.post(f"/history/{name}/replay", data={"temperature": "warm"})
    assert wrong.status_code == 400
    nothing = record(site, input=None, output=None)
    assert (await client.post(f"/history/{nothing}/replay")).status_code == 400


LOOK = {"name": "look", "description": "Finds <b>it</b>.", "parameters": {"type": "object"}}
CALL = {"id": "call_1", "name": "look", "arguments": '{"n": 1}'}


async def test_tools_and_forms_are_shown_run_again_and_taken_away(
    site: Site, client: httpx2.AsyncClient
) -> None:
    asked = {"tools": [LOOK], "parameters": {"tools": ["look"], "tool_choice": "auto"}}
    called = record(site, **asked, output="", tool_calls=[CALL], finish_reason="tool_calls")
    formed = record(site, parameters={"constraint": "choice"}, form=["是", "no"])
    page = (await client.get(f"/history/{called}")).text
    for shown in ("1 tool offered", "Finds &lt;b&gt;it&lt;/b&gt;.", "&#34;type&#34;: &#34;object"):
        assert shown in page
    page = (await client.get(f"/history/{formed}")).text
    assert "The form that the answer had to have" in page
    assert "structured_outputs" in page
    for name in (called, formed):
        await client.post(f"/history/{name}/replay")
    await until(lambda: len(site.gateway.asked) == 2, 10)
    assert [tool.name for tool in site.gateway.asked[0].tools] == ["look"]
    assert site.gateway.asked[1].constraint == Constraint("choice", ("是", "no"))
    other = record(site, **asked, output="", tool_calls=[CALL | {"arguments": '{"n": 2}'}])
    page = (await client.get(f"/history/{called}/compare/{other}")).text
    assert "the same, word for word" not in page
    assert "<del>1</del>" in page

    lines = (await client.get("/history/export?kind=jsonl")).text.splitlines()
    (first,) = [line for line in map(json.loads, lines) if line.get("tools")][-1:]
    assert first["tools"] == [{"type": "function", "function": LOOK}]
    (told,) = first["messages"][-1]["tool_calls"]
    assert told["function"] == {"name": "look", "arguments": '{"n": 1}'}
    rows = list(csv.DictReader(io.StringIO((await client.get("/history/export?kind=csv")).text)))
    assert [json.loads(row["form"]) for row in rows if row["form"]] == [["是", "no"]]
    assert json.loads(rows[-1]["tools"]) == [LOOK]

    old = record(site, parameters={"tools": ["look"]})
    refused = await client.post(f"/history/{old}/replay")
    assert refused.status_code == 400
    assert "An earlier version recorded only their names" in refused.text


async def test_another_engine_is_for_admins_only(site: Site) -> None:
    _, secret = await site.keys.create("ben")
    name = record(site, key_name="ben")
    async with visitor(site, OTHER_MACHINE, **{"x-api-key": secret}) as ben:
        asked = {"url": "http://127.0.0.1:1/v1"}
        assert (await ben.post(f"/history/{name}/replay", data=asked)).status_code == 403
        assert 'name="url"' not in (await ben.get(f"/history/{name}")).text


async def test_exports(site: Site, client: httpx2.AsyncClient) -> None:
    record(site, key_name="anna", output="=1+1")
    record(site, finish_reason="error", output="half", error="boom")
    lines = (await client.get("/history/export?kind=jsonl")).text.splitlines()
    assert [json.loads(line)["messages"][-1] for line in lines] == [
        {"role": "assistant", "content": "=1+1"}
    ]
    rows = list(csv.DictReader(io.StringIO((await client.get("/history/export?kind=csv")).text)))
    assert [row["output"] for row in rows] == ["half", "'=1+1"]
    assert rows[1]["key_name"] == "anna"
    # Where a spreadsheet parts cells at semicolons, none of a model's begins one of its own.
    record(site, output="a;=1+1")
    assert '"a;=1+1"' in (await client.get("/history/export?kind=csv")).text
    parquet = await client.get("/history/export?kind=parquet&key=anna")
    assert parquet.content[:4] == parquet.content[-4:] == b"PAR1"
    _, secret = await site.keys.create("ben")
    async with visitor(site, OTHER_MACHINE, **{"x-api-key": secret}) as ben:
        assert (await ben.get("/history/export?kind=jsonl")).text == ""


async def test_pairs_come_from_answers_given_again(site: Site, client: httpx2.AsyncClient) -> None:
    chats = site.parts.conversations
    chat = await chats.create("owner")
    question = await chats.add_message(chat.id, "owner", role="user", content="Why?")
    rated = record(site)
    told = {"first": rated, "second": None, "third": None}
    for content, request_id in told.items():
        await chats.add_message(
            chat.id, "owner", role="assistant", content=content, request_id=request_id,
            parent_id=question.id,
        )  # fmt: skip

    def read(text: str) -> list[tuple[str, str, str]]:
        found = [json.loads(line) for line in text.splitlines()]
        ends = ("prompt", "chosen", "rejected")
        said = [[one[name][-1]["content"] for name in ends] for one in found]
        return [(asked, better, worse) for asked, better, worse in said]

    export = "/history/export?kind=pairs"
    assert sorted(read((await client.get(export)).text)) == [
        ("Why?", "third", "first"), ("Why?", "third", "second")
    ]  # fmt: skip
    await client.post(f"/history/{rated}/feedback", data={"rating": "1"})
    assert {chosen for _, chosen, _ in read((await client.get(export)).text)} == {"first"}


async def test_everybody_sees_takes_and_deletes_their_own(site: Site) -> None:
    _, secret = await site.keys.create("anna")
    own, foreign = record(site, key_name="anna"), record(site, key_name="ben")
    async with visitor(site, OTHER_MACHINE, **{"x-api-key": secret}) as anna:
        page = (await anna.get("/history/mine")).text
        assert "recorded under the name anna" in page
        assert "X-Log-Content: off" in page
        taken = (await anna.get("/history/mine/export")).text
        assert own in taken
        assert foreign not in taken
        refused = await anna.post("/history/delete", data={"request_id": foreign})
        assert refused.status_code == 404
        await anna.post("/history/delete", data={"request_id": own})
        assert (await anna.get(f"/history/{own}")).status_code == 404
        gone = (await anna.post("/history/mine/delete")).headers["location"]
        assert "deleted for good" in (await anna.get(gone)).text
    assert await site.parts.queries.request(foreign, owner=None) is not None


async def test_charts_have_a_table_and_keep_the_filters(
    site: Site, client: httpx2.AsyncClient
) -> None:
    record(site, key_name="anna")
    record(site, key_name="ben")
    page = (await client.get("/history/charts?last=week&key=anna")).text
    assert page.count('<svg class="plot"') == 4
    assert 'name="key" value="anna"' in page
    assert '<th scope="row">anna</th><td>1</td>' in page
    assert '<th scope="row">ben</th>' not in page
    assert "By day" in page


async def test_tools_of_the_history_are_complete_in_chinese(
    site: Site, client: httpx2.AsyncClient
) -> None:
    chinese = {"input": [{"role": "user", "content": "什么"}], "output": "账本", "user_agent": ""}
    name, other = record(site, **chinese), record(site, **chinese)
    client.cookies.set("language", "zh")
    for path in ("/history/charts", "/history/mine?gone=2", f"/history/{name}/compare/{other}"):
        assert english_words((await client.get(path)).text) == [], path


def owners_request() -> Request:
    """A request of the owner's, for what a stream sends before its response begins."""
    scope = {
        "type": "http", "method": "GET", "path": "/history/live", "query_string": b"",
        "headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 80), "scheme": "http", "state": {"record": _Record()},
    }  # fmt: skip
    return Request(scope)


class _Record:
    id = "request"
    key_name: str | None = None
    error: str | None = None
