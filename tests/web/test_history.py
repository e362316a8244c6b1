"""The request history: what is listed, for whom, and each request whole."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from appliance.domain import Timings, Usage
from appliance.ledger.ids import new_id
from tests.web.reading import english_words
from tests.web.site import Site
from tests.web.visitors import OTHER_MACHINE, visitor

pytestmark = pytest.mark.anyio

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>"


def record(site: Site, **values: Any) -> str:
    """One finished request with its generation; `values` replace parts of it."""
    row: dict[str, Any] = {
        "key_name": "owner",
        "path": "/v1/chat/completions",
        "model": "Script-1B",
        "user_agent": "curl/8",
        "input": [{"role": "user", "content": "What is a ledger?"}],
        "output": "A book that **remembers**.",
        "reasoning": None,
        "error": None,
        "finish_reason": "stop",
        "parameters": {"temperature": 0.7},
        "client_request_id": None,
        "reasoning_tokens": 0,
        "tool_calls": None,
        "cached_from": None,
        "tools": None,
        "form": None,
    } | values
    request_id, generation_id = new_id(), new_id()
    site.recorder.open_request(
        id=request_id, created_at=datetime.now(UTC), method="POST", path=row["path"],
        client_ip="192.168.1.20", user_agent=row["user_agent"],
        client_request_id=row["client_request_id"],
    )  # fmt: skip
    site.recorder.open_generation(
        id=generation_id, request_id=request_id, model=row["model"], precision="fp32",
        engine="script", parameters=row["parameters"], input=row["input"], tools=row["tools"],
        form=row["form"],
    )  # fmt: skip
    site.recorder.close_generation(
        generation_id, output=row["output"], reasoning=row["reasoning"],
        usage=Usage(1200, 61, cached_tokens=7, reasoning_tokens=row["reasoning_tokens"]),
        timings=Timings(queue_ms=100, ttft_ms=400, duration_ms=3400),
        finish_reason=row["finish_reason"], error=row["error"],
        tool_calls=row["tool_calls"], cached_from=row["cached_from"],
    )  # fmt: skip
    site.recorder.close_request(
        request_id, status=200, duration_ms=3410, key_name=row["key_name"], error=row["error"]
    )
    return request_id


async def test_nothing_asked_yet_says_what_to_do(client: httpx2.AsyncClient) -> None:
    page = await client.get("/history")
    assert page.status_code == 200
    assert "Nothing has been asked yet" in page.text
    assert '<a class="button primary" href="/">' in page.text


async def test_a_row_tells_who_asked_what_and_how_long_it_took(
    site: Site, client: httpx2.AsyncClient
) -> None:
    record(site, key_name="anna")
    page = (await client.get("/history")).text
    for shown in (
        "anna", "192.168.1.20", "POST /v1/chat/completions", "Script-1B", "What is a ledger?",
        "A book that **remembers**.", "3.4 s", "first token 400 ms", "1,200 → 61 tokens",
        "complete",
    ):  # fmt: skip
        assert shown in page


async def test_page_views_are_listed_only_on_request(client: httpx2.AsyncClient) -> None:
    await client.get("/status")
    assert "/status</code>" not in (await client.get("/history")).text
    assert "/status</code>" in (await client.get("/history?show=all")).text


async def test_older_rows_come_by_link_and_by_fragment(
    site: Site, client: httpx2.AsyncClient
) -> None:
    ids = [record(site) for _ in range(31)]
    first = (await client.get("/history")).text
    older = f"/history?show=answers&amp;before={ids[1]}"
    assert f'href="{older}" hx-get="{older}"' in first
    assert [f"request-{name}" in first for name in ids] == [False] + [True] * 30

    url = older.replace("&amp;", "&")
    second = (await client.get(url)).text
    assert f"request-{ids[0]}" in second
    assert "Back to the newest" in second
    fragment = (await client.get(url, headers={"HX-Request": "true"})).text
    assert fragment.lstrip().startswith("<li")
    assert "<html" not in fragment


async def test_one_request_whole(site: Site, client: httpx2.AsyncClient) -> None:
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    name = record(site, input=turns, reasoning="Let me think.", output="Because **so**.")
    page = (await client.get(f"/history/{name}")).text
    for shown in (
        "Be brief.", "Why?", "Let me think.", "<strong>so</strong>", "Because **so**.",
        "temperature", "0.7", "400 ms", "20.0", name,
    ):  # fmt: skip
        assert shown in page
    assert 'class="span-prefill" x="2.94"' in page
    assert "Queue 100 ms. Prefill 300 ms. Decode 3.0 s." in page


async def test_an_answer_given_again_says_so_and_where_from(
    site: Site, client: httpx2.AsyncClient
) -> None:
    first = record(site)
    again = record(site, cached_from=first)
    assert "given again" not in (await client.get(f"/history?before={again}")).text
    assert "given again" in (await client.get("/history")).text
    page = (await client.get(f"/history/{again}")).text
    assert f'<a href="/history/{first}">' in page
    assert "20.0" not in page  # nothing was computed, so there is no speed
    assert "given again" not in (await client.get(f"/history/{first}")).text


async def test_tools_and_their_calls_are_shown(site: Site, client: httpx2.AsyncClient) -> None:
    call = {"id": "c1", "name": "look_up", "arguments": '{"word": "<b>"}'}
    turns = [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "A book.", "tool_call_id": "c1"},
    ]
    answer = {"id": "c2", "name": "write_down", "arguments": "{}"}
    name = record(
        site, input=turns, output="", tool_calls=[answer], finish_reason="tool_calls",
        reasoning_tokens=17,
    )  # fmt: skip
    page = (await client.get(f"/history/{name}")).text
    for shown in ("look_up({&#34;word&#34;: &#34;&lt;b&gt;&#34;})", "A book.", "write_down({})"):
        assert shown in page
    for shown in ("calls a tool", "of them thinking", ">17<"):
        assert shown in page
    assert "There is no output." not in page


async def test_each_of_several_choices_is_shown_as_text(
    site: Site, client: httpx2.AsyncClient
) -> None:
    name = record(site, output='["Heads *up*.", "Tails."]', parameters={"n": 2})
    page = (await client.get(f"/history/{name}")).text
    assert "Heads <em>up</em>." in page
    assert '<p dir="auto">Tails.</p>' in page


async def test_what_the_client_calls_its_request_is_shown(
    site: Site, client: httpx2.AsyncClient
) -> None:
    name = record(site, client_request_id="trace-7")
    assert "trace-7" in (await client.get(f"/history/{name}")).text
    assert (await client.get("/history/trace-7")).status_code == 404


async def test_a_failed_request_shows_its_reason(site: Site, client: httpx2.AsyncClient) -> None:
    name = record(site, finish_reason="error", error="The engine died.", output="")
    for path in ("/history", f"/history/{name}"):
        page = (await client.get(path)).text
        assert "The engine died." in page
        assert "failed" in page


async def test_contents_that_are_not_kept_are_said_to_be_so(
    site: Site, client: httpx2.AsyncClient
) -> None:
    name = record(site, input=None, output=None)
    assert "(contents are not kept)" in (await client.get("/history")).text
    assert "Its contents are not kept." in (await client.get(f"/history/{name}")).text


@pytest.mark.parametrize(
    "field",
    [
        "key_name", "path", "model", "user_agent", "input", "output", "reasoning", "error",
        "client_request_id", "cached_from",
    ],
)  # fmt: skip
async def test_nothing_recorded_becomes_markup(
    site: Site, client: httpx2.AsyncClient, field: str
) -> None:
    name = record(site, **{field: EVIL})
    for path in ("/history", f"/history/{name}"):
        page = (await client.get(path)).text
        assert "<script>alert" not in page
        assert "<img" not in page


async def test_parameters_do_not_become_markup(site: Site, client: httpx2.AsyncClient) -> None:
    name = record(site, parameters={EVIL: [EVIL]}, input=[{"role": EVIL, "content": EVIL}])
    assert "<script>alert" not in (await client.get(f"/history/{name}")).text


async def test_a_key_sees_only_its_own_requests(site: Site) -> None:
    _, secret = await site.keys.create("anna")
    own, foreign = record(site, key_name="anna"), record(site, key_name="ben", output="private")
    async with visitor(site, OTHER_MACHINE, **{"x-api-key": secret}) as anna:
        page = (await anna.get("/history?show=all")).text
        assert f"request-{own}" in page
        assert f"request-{foreign}" not in page
        assert (await anna.get(f"/history/{own}")).status_code == 200
        refused = await anna.get(f"/history/{foreign}")
        assert refused.status_code == 404
        assert "private" not in refused.text


async def test_an_admin_key_sees_everyone(site: Site) -> None:
    _, secret = await site.keys.create("chief", is_admin=True)
    foreign = record(site, key_name="ben")
    async with visitor(site, OTHER_MACHINE, **{"x-api-key": secret}) as chief:
        assert (await chief.get(f"/history/{foreign}")).status_code == 200


async def test_without_a_key_one_is_sent_to_the_login(stranger: httpx2.AsyncClient) -> None:
    answer = await stranger.get("/history")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/history")


async def test_a_request_that_does_not_exist(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/history/nonsense")
    assert answer.status_code == 404
    assert "There is no such request" in answer.text


async def test_chinese_is_complete(site: Site, client: httpx2.AsyncClient) -> None:
    client.cookies.set("language", "zh")
    assert english_words((await client.get("/history")).text) == []
    chinese = [{"role": "user", "content": "什么是账本？"}]
    name = record(
        site, input=chinese, output="会记忆的书。", reasoning="想一想", user_agent="",
        cached_from="1", client_request_id="7", finish_reason="tool_calls", reasoning_tokens=3,
    )  # fmt: skip
    for path in ("/history?show=all", f"/history/{name}", "/history?before=0"):
        assert english_words((await client.get(path)).text) == []
