"""The writing assistant and the code helper, as a browser without JavaScript and with it."""

from __future__ import annotations

import asyncio
import re

import httpx2
import pytest

from appliance.domain import Message
from appliance.errors import QueueFull
from tests.web.reading import english_words
from tests.web.site import Site
from tests.web.visitors import OTHER_MACHINE, visitor

pytestmark = pytest.mark.anyio

HTMX = {"HX-Request": "true"}


async def over(site: Site, place: str) -> None:
    """Waits until the run behind `/write/…` has ended."""
    run = site.runs.get(place.rsplit("/", 1)[1], "owner")
    assert run is not None
    async with asyncio.timeout(5):
        await run.ended()


def turns(site: Site) -> tuple[Message, ...]:
    """What the engine was asked first."""
    prompt = site.gateway.asked[0].prompt
    assert not isinstance(prompt, str)
    return prompt


async def ordered(client: httpx2.AsyncClient, path: str = "/write", **form: str) -> str:
    """Sends a form and returns where the result will be."""
    answer = await client.post(path, data={"task": "polish", "text": "helo world"} | form)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


@pytest.mark.parametrize(
    ("path", "shown"), [("/write", "Title ideas"), ("/code", "Rewrite in another language")]
)
async def test_the_empty_page_offers_its_tasks(
    client: httpx2.AsyncClient, path: str, shown: str
) -> None:
    page = (await client.get(path)).text
    assert shown in page
    assert "The result comes here" in page


async def test_by_plain_form_the_result_has_a_page_of_its_own(
    site: Site, client: httpx2.AsyncClient
) -> None:
    site.gateway.script = ["Hello, ", "**world**."]
    place = await ordered(client)
    await over(site, place)
    page = (await client.get(place)).text
    assert re.search(r"<del>helo.*<ins>Hello, \*\*", page)
    assert "helo world</textarea>" in page
    assert '<input type="radio" name="task" value="polish" checked>' in page
    assert "http-equiv" not in page
    assert f'href="/history/{place.rsplit("/", 1)[1]}"' in page
    (asked,) = site.gateway.asked
    system, user = turns(site)
    assert system.role == "system"
    assert asked.sampling.temperature == 0.4
    assert asked.enable_thinking is False
    assert user.content.startswith("<text>\nhelo world\n</text>")


async def test_while_it_goes_on_the_page_shows_what_there_is_and_looks_again(
    site: Site, client: httpx2.AsyncClient
) -> None:
    go_on = asyncio.Event()
    site.gateway.script = ["First words", go_on, " and the rest."]
    place = await ordered(client)
    async with asyncio.timeout(5):
        run = site.runs.get(place.rsplit("/", 1)[1], "owner")
        assert run is not None
        async for _ in run.changes():
            if run.text:
                break
    page = (await client.get(place)).text
    assert "First words" in page
    assert '<noscript><meta http-equiv="refresh" content="2"></noscript>' in page
    assert f'sse-connect="{place}/stream"' in page
    go_on.set()
    await over(site, place)
    assert "<ins>First words and the rest.</ins>" in (await client.get(place)).text


async def test_htmx_gets_the_result_in_place_and_its_address(
    site: Site, client: httpx2.AsyncClient
) -> None:
    site.gateway.script = ["Some ", "text."]
    form = {"task": "shorten", "text": "long"}
    answer = await client.post("/write", data=form, headers=HTMX)
    assert answer.text.lstrip().startswith('<section class="card result" id="result"')
    place = answer.headers["hx-push-url"]
    stream = (await client.get(f"{place}/stream")).text
    assert 'id="announce" hx-swap-oob="innerHTML">The answer is complete.' in stream
    assert "aria-live" not in stream
    assert "event: tail" in stream
    done = stream.split("event: done")[1]
    assert "<ins>Some text.</ins>" in done
    assert "Use the result as input" in done


async def test_stopping_keeps_what_was_said(site: Site, client: httpx2.AsyncClient) -> None:
    site.gateway.script = ["So far", asyncio.Event()]
    place = await ordered(client)
    answer = await client.post(f"{place}/stop")
    assert (answer.status_code, answer.headers["location"]) == (303, place)
    await over(site, place)
    page = (await client.get(place)).text
    assert "Stopped." in page
    assert (await client.post(f"{place}/stop", headers=HTMX)).status_code == 204


async def test_a_refusal_is_shown_where_the_result_would_be(
    site: Site, client: httpx2.AsyncClient
) -> None:
    site.gateway.script = [QueueFull("%(waiting)s requests are already waiting.", waiting=9)]
    place = await ordered(client)
    await over(site, place)
    page = (await client.get(place)).text
    assert "9 requests are already waiting." in page
    assert 'role="alert"' in page


async def test_an_answer_cut_at_the_limit_says_so(site: Site, client: httpx2.AsyncClient) -> None:
    site.gateway.finish_reason = "length"
    place = await ordered(client)
    await over(site, place)
    assert "It was cut off at the longest length allowed." in (await client.get(place)).text


async def test_the_result_becomes_the_next_input(site: Site, client: httpx2.AsyncClient) -> None:
    site.gateway.script = ["</textarea><script>alert(1)</script>"]
    place = await ordered(client)
    await over(site, place)
    page = (await client.get(f"/write?from={place.rsplit('/', 1)[1]}")).text
    assert "&lt;/textarea&gt;&lt;script&gt;alert(1)&lt;/script&gt;</textarea>" in page


@pytest.mark.parametrize("evil", ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>"])
async def test_neither_input_nor_output_becomes_markup(
    site: Site, client: httpx2.AsyncClient, evil: str
) -> None:
    site.gateway.script = [evil, f"\n\n```python\n{evil}\n```\n"]
    place = await ordered(client, "/code", task="explain", text=f"</textarea>{evil}")
    await over(site, place)
    for text in ((await client.get(place)).text, (await client.get(f"{place}/stream")).text):
        assert "<script>alert" not in text
        assert "<img" not in text
        assert "alert" in text


async def test_code_is_highlighted(site: Site, client: httpx2.AsyncClient) -> None:
    site.gateway.script = ["```python\ndef f(): return 1\n```"]
    place = await ordered(client, "/code", task="translate", text="f", target="Python")
    await over(site, place)
    assert re.search(r'<span class="k\w*">def</span>', (await client.get(place)).text)


@pytest.mark.parametrize(
    ("form", "field", "said"),
    [
        ({"task": "explain", "text": " "}, "text", "There is nothing to work on yet."),
        ({"task": "translate", "text": "x"}, "target", "Choose the language to rewrite in."),
    ],
)
@pytest.mark.parametrize("headers", [{}, HTMX])
async def test_a_mistake_is_told_at_its_field(
    site: Site,
    client: httpx2.AsyncClient,
    form: dict[str, str],
    field: str,
    said: str,
    headers: dict[str, str],
) -> None:
    answer = await client.post("/code", data=form, headers=headers)
    assert answer.status_code == 422
    assert f'id="{field}-problem" role="alert">{said}' in answer.text
    assert ("<html" in answer.text) is not bool(headers)
    assert answer.headers["hx-retarget"] == "#fields"
    assert site.gateway.asked == []


async def test_a_mended_form_loses_its_problem(client: httpx2.AsyncClient) -> None:
    wrong = await client.post("/write", data={"task": "polish", "text": ""}, headers=HTMX)
    assert 'name="mended" value="true"' in wrong.text
    form = {"task": "polish", "text": "helo", "mended": "true"}
    mended = (await client.post("/write", data=form, headers=HTMX)).text
    assert 'id="result"' in mended
    assert re.search(r'<section[^>]*id="fields"[^>]*hx-swap-oob="true"', mended)
    assert "text-problem" not in mended


async def test_somebody_elses_result_cannot_be_opened(
    site: Site, client: httpx2.AsyncClient
) -> None:
    site.gateway.script = ["private"]
    place = await ordered(client)
    await over(site, place)
    _, secret = await site.keys.create("anna")
    async with visitor(site, OTHER_MACHINE, **{"x-api-key": secret}) as anna:
        answer = await anna.get(place, follow_redirects=True)
        assert answer.status_code == 404
        assert "private" not in (await anna.get(f"{place}/stream")).text
        again = await anna.get(f"/write?from={place.rsplit('/', 1)[1]}")
        assert "private" not in again.text


async def test_a_forgotten_result_is_looked_up_in_the_history(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/write/01JUNK")
    assert (answer.status_code, answer.headers["location"]) == (303, "/history/01JUNK")


async def test_results_stay_with_their_assistant(site: Site, client: httpx2.AsyncClient) -> None:
    place = await ordered(client)
    await over(site, place)
    answer = await client.get(place.replace("/write", "/code"))
    assert answer.status_code == 303


@pytest.mark.parametrize(
    ("path", "task"), [("/write", "polish"), ("/code", "bugs"), ("/code", "explain")]
)
async def test_chinese_is_complete_and_asked_in_chinese(
    site: Site, client: httpx2.AsyncClient, path: str, task: str
) -> None:
    client.cookies.set("language", "zh")
    site.gateway.script = ["好的。"]
    assert english_words((await client.get(path)).text) == []
    place = await ordered(client, path, task=task, text="内容")
    await over(site, place)
    assert english_words((await client.get(place)).text) == []
    assert "你" in turns(site)[0].content
    refused = await client.post(path, data={"task": task, "text": ""})
    assert english_words(refused.text) == []
