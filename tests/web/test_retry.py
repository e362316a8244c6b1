"""An answer of the writing assistant that failed, and the same order once more."""

from __future__ import annotations

import asyncio
import re

import httpx2
import pytest

from appliance.errors import ApplianceError, EngineFailed, EngineUnavailable, QueueFull
from tests.web.reading import english_words
from tests.web.site import Site
from tests.web.test_assistant import HTMX, ordered, over, turns

pytestmark = pytest.mark.anyio

TEXT = "Dear Ada,\n\nhelo world\n\nYours, Bob"
FULL = QueueFull("%(waiting)s requests are already waiting. Please try again shortly.", waiting=9)


async def failed(site: Site, client: httpx2.AsyncClient, **form: str) -> str:
    """The place of an order that found no engine."""
    site.gateway.script = [FULL]
    place = await ordered(client, "/write", **({"text": TEXT} | form))
    await over(site, place)
    return place


def offered(page: str) -> bool:
    return re.search(r'formaction="/write/\w+/retry" formnovalidate', page) is not None


@pytest.mark.parametrize(
    "script",
    [
        [FULL],
        [EngineUnavailable("The engine is not ready.")],
        ["half of it", EngineFailed("The engine died.")],
        [],
    ],
)
async def test_whatever_failed_can_be_tried_again(
    site: Site, client: httpx2.AsyncClient, script: list[str | ApplianceError]
) -> None:
    site.gateway.script = [*script]
    place = await ordered(client)
    await over(site, place)
    assert offered((await client.get(place)).text)
    assert offered((await client.get(f"{place}/stream")).text)
    site.gateway.script = ["Hello."]
    again = await client.post(f"{place}/retry", data={"text": "helo world"})
    await over(site, again.headers["location"])
    page = (await client.get(again.headers["location"])).text
    assert "<ins>Hello.</ins>" in page
    assert not offered(page)


async def test_the_same_part_and_choice_are_asked_again(
    site: Site, client: httpx2.AsyncClient
) -> None:
    place = await failed(site, client, task="translate", target="en", passage="helo world")
    site.gateway.script = ["Hello world"]
    # What is chosen in the form by now is for another order.
    form = {"task": "shorten", "text": TEXT.replace("\n", "\r\n")}
    answer = await client.post(f"{place}/retry", data=form)
    assert answer.status_code == 303
    await over(site, answer.headers["location"])
    first, second = site.gateway.asked
    assert second == first
    page = (await client.get(answer.headers["location"])).text
    assert "Dear Ada" in page
    assert page.count('name="change"') == 1
    assert len(re.findall(r'href="/write/drafts/\w+\?version=', page)) == 1


async def test_htmx_gets_the_new_answer_in_place_with_the_focus(
    site: Site, client: httpx2.AsyncClient
) -> None:
    place = await failed(site, client)
    site.gateway.script = ["Hello."]
    answer = await client.post(f"{place}/retry", data={"text": TEXT}, headers=HTMX)
    assert re.match(r'\s*<section[^>]* id="result"[^>]* tabindex="-1" autofocus>', answer.text)
    assert answer.headers["hx-push-url"] not in ("", place)
    # The end is announced by the stream, or at once where it has come before this answer.
    assert ("sse-connect=" in answer.text) is not ('id="announce"' in answer.text)


async def test_a_text_that_was_changed_since_is_kept_and_not_asked_for(
    site: Site, client: httpx2.AsyncClient
) -> None:
    place = await failed(site, client)
    answer = await client.post(f"{place}/retry", data={"text": "another", "task": "shorten"})
    assert answer.status_code == 422
    assert "The text was changed after this was asked for." in answer.text
    assert "another</textarea>" in answer.text
    assert 'value="shorten" checked' in answer.text
    assert len(site.gateway.asked) == 1


async def test_what_is_still_being_written_is_not_begun_twice(
    site: Site, client: httpx2.AsyncClient
) -> None:
    site.gateway.script = ["So far", asyncio.Event()]
    place = await ordered(client)
    answer = await client.post(f"{place}/retry", data={"text": "helo world"})
    assert answer.status_code == 400
    await asyncio.sleep(0)
    assert len(site.gateway.asked) == 1


async def test_what_a_restart_has_lost_is_said_and_asked_again_from_the_form(
    site: Site, client: httpx2.AsyncClient
) -> None:
    stream = (await client.get("/write/01JUNK/stream")).text
    assert "no longer kept here" in stream.partition("event: done")[2]
    assert offered(stream)
    site.gateway.script = ["Hello world"]
    form = {"task": "polish", "text": TEXT, "start": "11", "end": "21"}
    answer = await client.post("/write/01JUNK/retry", data=form)
    await over(site, answer.headers["location"])
    assert "helo world" in turns(site)[1].content
    assert (await client.get(answer.headers["location"])).text.count('name="change"') == 1
    assert (await client.post("/write/01JUNK/retry")).status_code == 422


async def test_a_failure_is_complete_in_chinese(site: Site, client: httpx2.AsyncClient) -> None:
    client.cookies.set("language", "zh")
    place = await failed(site, client, text="内容")
    page = (await client.get(place)).text
    assert "重试" in page
    assert english_words(page) == []
