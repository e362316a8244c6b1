"""Other ways a chat could go: edited questions, other answers, answers that go on."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace

import httpx2
import pytest

from appliance.domain import Message, ReasoningDelta
from tests.web.site import FACTS, Site
from tests.web.test_chat import HTMX, answer_id, begin, begun, settled

pytestmark = pytest.mark.anyio


def question_ids(page: str) -> list[str]:
    return re.findall(r'<article class="message question" id="(\w+)"', page)


def versions(page: str) -> list[str]:
    return re.findall(r"<span>(\d+/\d+)</span>", page)


async def test_a_question_in_other_words_is_a_branch_of_its_own(
    site: Site, client: httpx2.AsyncClient
) -> None:
    path = await begin(client, "First words")
    page = await settled(site, client, path)
    await client.post(path, data={"prompt": "And then?"})
    await settled(site, client, path)
    old = question_ids(page)[0]
    site.gateway.script = ["Another one."]
    answer = await client.post(f"{path}/messages/{old}/edit", data={"prompt": "Better words"})
    assert answer.status_code == 303
    page = await settled(site, client, path)
    assert site.gateway.asked[-1].prompt == (Message("user", "Better words"),)
    assert "First words" not in page.split('id="messages"')[1]
    assert "And then?" not in page
    assert versions(page) == ["2/2"]

    await client.post(f"{path}/messages/{old}/show")
    page = (await client.get(path)).text
    assert "And then?" in page, "a branch is shown as far as it goes"
    assert "Better words" not in page.split('id="messages"')[1]
    assert versions(page) == ["1/2"]


async def test_another_answer_keeps_the_first_one_click_away(
    site: Site, client: httpx2.AsyncClient
) -> None:
    path = await begin(client)
    first = answer_id(await settled(site, client, path))
    site.gateway.script = ["Good day."]
    again = await client.post(f"{path}/messages/{first}/retry", headers=HTMX)
    assert 'id="chat"' in again.text
    page = await settled(site, client, path)
    assert "Good day." in page
    assert versions(page) == ["2/2"]
    asked = site.gateway.asked
    assert asked[-1].prompt == asked[0].prompt
    await client.post(f"{path}/messages/{first}/show")
    assert "Hello." in (await client.get(path)).text


async def test_what_is_asked_follows_what_the_reader_sees(
    site: Site, client: httpx2.AsyncClient
) -> None:
    """Two tabs on two branches do not mix: each form names the message it follows."""
    path = await begin(client)
    first = answer_id(await settled(site, client, path))
    site.gateway.script = ["Good day."]
    await client.post(f"{path}/messages/{first}/retry")
    await settled(site, client, path)
    await client.post(path, data={"prompt": "Why?", "parent": first})
    await settled(site, client, path)
    assert site.gateway.asked[-1].prompt[1:] == (
        Message("assistant", "Hello."),
        Message("user", "Why?"),
    )
    stray = await client.post(path, data={"prompt": "Why?", "parent": "elsewhere"})
    assert stray.status_code == 404


@pytest.mark.parametrize("within", [True, False])
async def test_a_cut_answer_goes_on(site: Site, client: httpx2.AsyncClient, within: bool) -> None:
    if within:
        site.engine.board.publish(facts=replace(FACTS, capabilities=("continue_final_message",)))
    site.gateway.script, site.gateway.finish_reason = ["One, two,"], "length"
    path = await begin(client)
    page = await settled(site, client, path)
    assert "/continue" in page
    site.gateway.script, site.gateway.finish_reason = [" three."], "stop"
    site.runs._runs.clear()
    await client.post(f"{path}/messages/{answer_id(page)}/continue")
    page = await settled(site, client, path)
    assert "One, two, three." in page
    assert "/continue" not in page
    request = site.gateway.asked[-1]
    assert request.continue_final_message is within
    assert request.prompt[-1 if within else -2] == Message("assistant", "One, two,")
    refused = await client.post(f"{path}/messages/{answer_id(page)}/continue")
    assert refused.status_code == 400


async def test_thoughts_are_folded_with_their_time(site: Site, client: httpx2.AsyncClient) -> None:
    gate = asyncio.Event()
    site.gateway.script = [ReasoningDelta("Hm."), gate, "Yes."]
    path = await begin(client)
    run = await begun(site, client, path)
    place = f"{path}/messages/{run.id}/stream?once=1"
    now = (await client.get(place)).text
    assert "event: thinking\ndata: Hm." in now
    assert "event: thought\ndata: Thinking … " in now
    assert "event: done" not in now, "who asks once gets what stands, and no more"
    gate.set()
    page = await settled(site, client, path)
    assert re.search(r"<summary>Thought for [\d.,]+ m?s</summary>", page)
