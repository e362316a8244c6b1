"""The chat as a browser without a script uses it, and what htmx gets instead."""

from __future__ import annotations

import asyncio
import re

import httpx2
import pytest

from appliance.domain import Message, ReasoningDelta
from appliance.errors import ContextExceeded, EngineUnavailable
from appliance.web.run import Run
from tests.web.site import Site
from tests.web.test_sse import parse

pytestmark = pytest.mark.anyio

HTMX = {"HX-Request": "true"}
SECONDS = 5.0


async def begin(client: httpx2.AsyncClient, prompt: str = "What is a ledger?") -> str:
    """Asks in a new chat by plain form; the chat's path."""
    answer = await client.post("/chat", data={"prompt": prompt})
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def answer_id(page: str) -> str:
    return str(re.findall(r'<article class="message answer" id="(\w+)"', page)[-1])


async def begun(site: Site, client: httpx2.AsyncClient, path: str) -> Run:
    """The run of the chat's last answer, once it has said or thought something."""
    run = site.runs.get(answer_id((await client.get(path)).text), "owner")
    assert run is not None
    async with asyncio.timeout(SECONDS):
        async for _ in run.changes():
            if run.text or run.thinking:
                break
    return run


async def settled(site: Site, client: httpx2.AsyncClient, path: str) -> str:
    """The page once its last answer has ended."""
    run = site.runs.get(answer_id((await client.get(path)).text), "owner")
    if run is not None:
        await asyncio.wait_for(run.ended(), SECONDS)
    return str((await client.get(path)).text)


async def test_an_empty_chat_says_what_can_be_done(client: httpx2.AsyncClient) -> None:
    page = (await client.get("/")).text
    assert "What can I do for you?" in page
    assert 'name="prompt" value="' in page


async def test_ask_and_read_the_answer_by_plain_form(
    site: Site, client: httpx2.AsyncClient
) -> None:
    site.gateway.script = ["A **book**", " of entries."]
    page = await settled(site, client, await begin(client))
    assert "What is a ledger?" in page
    assert "A <strong>book</strong> of entries." in page
    assert "http-equiv" not in page


async def test_while_it_grows_the_page_refreshes_and_keeps_what_there_is(
    site: Site, client: httpx2.AsyncClient
) -> None:
    site.gateway.script = ["Half of it", asyncio.Event()]
    path = await begin(client)
    await begun(site, client, path)
    page = (await client.get(path)).text
    assert '<noscript><meta http-equiv="refresh"' in page
    assert "Half of it" in page


async def test_htmx_gets_the_chat_and_its_address(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/chat", data={"prompt": "Hi"}, headers=HTMX)
    assert answer.status_code == 200
    assert "<html" not in answer.text
    path = answer.headers["HX-Push-Url"]
    assert path.startswith("/chat/")
    assert f'action="{path}"' in answer.text
    assert 'hx-swap-oob="true"' in answer.text


async def test_the_stream_ends_with_the_message_as_it_stays(
    site: Site, client: httpx2.AsyncClient
) -> None:
    site.gateway.script = [ReasoningDelta("<b>hm</b>"), "One.\n\n", "Two\n\nThree <i>"]
    path = await begin(client)
    place = f"{path}/messages/{answer_id((await client.get(path)).text)}"
    answer = await client.get(f"{place}/stream")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-accel-buffering"] == "no"
    events = parse(answer.text)
    by_name = {name: [data for seen, data in events if seen == name] for name, _ in events}
    assert by_name["start"] == [""]
    assert "".join(by_name["thinking"]) == "&lt;b&gt;hm&lt;/b&gt;"
    assert by_name["tail"][-1].endswith('<p dir="auto">Three &lt;i&gt;</p>\n')
    assert "".join(by_name["settled"]) == '<p dir="auto">One.</p>\n'
    assert len(by_name["done"]) == 1
    assert "message-actions" in by_name["done"][0]


async def test_a_later_reader_of_an_old_stream_gets_its_end(
    site: Site, client: httpx2.AsyncClient
) -> None:
    path = await begin(client)
    page = await settled(site, client, path)
    site.runs._runs.clear()
    events = parse((await client.get(f"{path}/messages/{answer_id(page)}/stream")).text)
    assert [name for name, _ in events] == ["done"]
    assert "Hello." in events[0][1]


async def test_the_model_reads_the_whole_conversation(
    site: Site, client: httpx2.AsyncClient
) -> None:
    path = await begin(client, "First")
    await settled(site, client, path)
    await client.post(path, data={"prompt": "Second"})
    await settled(site, client, path)
    assert site.gateway.asked[-1].prompt == (
        Message("user", "First"),
        Message("assistant", "Hello."),
        Message("user", "Second"),
    )


async def test_stop_keeps_what_was_said(site: Site, client: httpx2.AsyncClient) -> None:
    said = asyncio.Event()
    site.gateway.script = ["Half", said, asyncio.Event()]
    said.set()
    path = await begin(client)
    await asyncio.sleep(0)
    answer = await client.post(f"{path}/stop", headers=HTMX)
    assert answer.status_code == 204
    assert site.gateway.cancelled.is_set()
    page = await settled(site, client, path)
    assert "Stopped." in page
    assert "Half" in page


async def test_two_answers_at_once_in_one_chat_are_refused(
    site: Site, client: httpx2.AsyncClient
) -> None:
    site.gateway.script = [asyncio.Event()]
    path = await begin(client)
    answer = await client.post(path, data={"prompt": "More"}, headers=HTMX)
    assert answer.status_code == 400
    assert answer.headers["HX-Retarget"] == "#notices"
    assert "still being written" in answer.text


async def test_a_refusal_is_told_in_the_readers_language_and_can_be_retried(
    site: Site, client: httpx2.AsyncClient
) -> None:
    site.gateway.script = [EngineUnavailable("The engine could not be started.")]
    path = await begin(client)
    page = await settled(site, client, path)
    assert "The engine could not be started." in page
    assert "Try again" in page
    site.runs._runs.clear()
    chinese = await client.get(path, headers={"Accept-Language": "zh-CN"})
    assert "引擎无法启动。" in chinese.text
    site.gateway.script = ["Now it works."]
    place = f"{path}/messages/{answer_id(page)}/retry"
    assert (await client.post(place)).status_code == 303
    page = await settled(site, client, path)
    assert "Now it works." in page
    assert "could not be started" not in page


async def test_a_chat_that_is_too_long_says_so_with_the_numbers_and_the_way_out(
    site: Site, client: httpx2.AsyncClient
) -> None:
    site.gateway.script = [
        ContextExceeded(
            "The prompt has %(prompt_tokens)s tokens; this model holds %(limit)s.",
            prompt_tokens=9000,
            limit=8192,
        )
    ]
    page = await settled(site, client, await begin(client))
    assert "9000 tokens; this model holds 8192" in page
    assert "Start a new one" in page


async def test_an_answer_at_its_length_limit_says_so(
    site: Site, client: httpx2.AsyncClient
) -> None:
    site.gateway.finish_reason = "length"
    page = await settled(site, client, await begin(client))
    assert "most tokens allowed" in page


async def test_thinking_is_asked_for_only_when_the_model_can(
    site: Site, client: httpx2.AsyncClient
) -> None:
    await settled(site, client, await begin(client))
    assert site.gateway.asked[-1].enable_thinking is False
    path = (await client.post("/chat", data={"prompt": "Hi", "thinking": "true"})).headers[
        "location"
    ]
    await settled(site, client, path)
    assert site.gateway.asked[-1].enable_thinking is True


@pytest.mark.parametrize("prompt", ["", "   \n "])
async def test_an_empty_message_is_refused(client: httpx2.AsyncClient, prompt: str) -> None:
    answer = await client.post("/chat", data={"prompt": prompt})
    assert answer.status_code == 400
    assert "The message is empty" in answer.text


async def test_rename_and_delete(site: Site, client: httpx2.AsyncClient) -> None:
    path = await begin(client, "An <old> name")
    await settled(site, client, path)
    await client.post(f"{path}/rename", data={"title": "A <new> name"})
    page = (await client.get(path)).text
    assert "A &lt;new&gt; name" in page
    assert "<new>" not in page
    assert (await client.post(f"{path}/delete")).headers["location"] == "/"
    assert (await client.get(path)).status_code == 404
    assert path not in (await client.get("/")).text


async def test_deleting_while_it_grows_ends_the_work(
    site: Site, client: httpx2.AsyncClient
) -> None:
    site.gateway.script = ["One", asyncio.Event()]
    path = await begin(client)
    run = site.runs.get(answer_id((await client.get(path)).text), "owner")
    assert run is not None
    assert not run.over
    await client.post(f"{path}/delete")
    assert site.gateway.cancelled.is_set()
    assert run.state == "stopped"


async def test_a_long_question_makes_a_short_title(client: httpx2.AsyncClient) -> None:
    page = (await client.get(await begin(client, "word " * 100))).text
    title = re.search(r"<title>(.*?) ·", page)
    assert title is not None
    assert len(title[1]) <= 61
    assert title[1].endswith("word…")


async def test_the_list_of_all_chats_goes_on(site: Site, client: httpx2.AsyncClient) -> None:
    for number in range(42):
        await site.parts.conversations.create("owner", title=f"Chat number {number}.")
    first = (await client.get("/chats")).text
    older = re.search(r'href="(/chats\?before=[^"]+)"', first)
    assert older is not None
    assert "number 41." in first
    assert "number 0." not in first
    assert "number 0." in (await client.get(older[1])).text


async def test_another_person_sees_none_of_it(site: Site, client: httpx2.AsyncClient) -> None:
    path = await begin(client)
    page = await settled(site, client, path)
    _, secret = await site.keys.create("anna")
    anna = {"Authorization": f"Bearer {secret}"}
    assert path not in (await client.get("/", headers=anna)).text
    message = f"{path}/messages/{answer_id(page)}"
    for method, place in [
        ("GET", path),
        ("POST", path),
        ("POST", f"{path}/stop"),
        ("POST", f"{path}/rename"),
        ("POST", f"{path}/delete"),
        ("GET", f"{message}/stream"),
        ("GET", f"{message}/text"),
        ("POST", f"{message}/retry"),
    ]:
        data = {"prompt": "x", "title": "x"} if method == "POST" else None
        answer = await client.request(method, place, data=data, headers=anna)
        assert answer.status_code == 404, place
    assert (await client.get(path)).status_code == 200


async def test_a_message_can_be_fetched_as_it_was_written(
    site: Site, client: httpx2.AsyncClient
) -> None:
    site.gateway.script = ["**raw** <b>"]
    path = await begin(client)
    page = await settled(site, client, path)
    answer = await client.get(f"{path}/messages/{answer_id(page)}/text")
    assert answer.text == "**raw** <b>"
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["x-content-type-options"] == "nosniff"
