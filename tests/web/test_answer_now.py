"""Enough thought: the button that ends the thinking, by plain form and by htmx."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import httpx2
import pytest

from appliance.domain import ReasoningDelta
from appliance.errors import InvalidRequest
from appliance.web.run import Run
from tests.web.reading import english_words
from tests.web.site import FACTS, Site
from tests.web.test_chat import HTMX, SECONDS, begin, begun

pytestmark = pytest.mark.anyio


async def thinking(site: Site, client: httpx2.AsyncClient) -> tuple[str, str, Run]:
    """A chat whose answer thinks until it is stopped: path, place of the button, run."""
    site.gateway.script = [ReasoningDelta("Hm, let me see."), asyncio.Event()]
    path = await begin(client)
    run = await begun(site, client, path)
    return path, f"{path}/messages/{run.id}/answer-now", run


async def test_the_form_ends_the_thinking_and_comes_back_to_the_answer(
    site: Site, client: httpx2.AsyncClient
) -> None:
    path, place, run = await thinking(site, client)
    assert f'method="post" action="{place}"' in (await client.get(path)).text
    answer = await client.post(place)
    assert (answer.status_code, answer.headers["location"]) == (303, f"{path}#{run.id}")
    assert site.gateway.hurried == [("generation", "owner")]


async def test_htmx_gets_nothing_to_swap(site: Site, client: httpx2.AsyncClient) -> None:
    _, place, _ = await thinking(site, client)
    answer = await client.post(place, headers=HTMX)
    assert (answer.status_code, answer.content) == (204, b"")
    assert site.gateway.hurried == [("generation", "owner")]


async def test_an_answer_that_has_begun_is_let_be(site: Site, client: httpx2.AsyncClient) -> None:
    path, place, run = await thinking(site, client)
    run.text = "It is"
    assert (await client.post(place)).status_code == 303
    assert site.gateway.hurried == []
    run.stop()
    await asyncio.wait_for(run.ended(), SECONDS)
    assert (await client.post(place)).status_code == 303
    assert "/answer-now" not in (await client.get(path)).text


async def test_thinking_that_ended_by_itself_meanwhile_is_no_mistake(
    site: Site, client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def too_late(generation_id: str, caller: object) -> None:
        raise InvalidRequest("The model is not thinking (any more): its answer has begun.")

    monkeypatch.setattr(site.gateway, "answer_now", too_late)
    _, place, _ = await thinking(site, client)
    assert (await client.post(place, headers=HTMX)).status_code == 204


async def test_nobody_hurries_anothers_answer(site: Site, client: httpx2.AsyncClient) -> None:
    _, place, _ = await thinking(site, client)
    _, secret = await site.keys.create("anna")
    anna = {"Authorization": f"Bearer {secret}"}
    assert (await client.post(place, headers=anna)).status_code == 404
    assert site.gateway.hurried == []


async def test_an_engine_that_cannot_is_not_asked(site: Site, client: httpx2.AsyncClient) -> None:
    path, _, _ = await thinking(site, client)
    assert "/answer-now" in (await client.get(path)).text
    site.engine.board.publish(facts=replace(FACTS, backend="remote"))
    assert "/answer-now" not in (await client.get(path)).text


async def test_the_button_is_translated(site: Site, client: httpx2.AsyncClient) -> None:
    path, _, _ = await thinking(site, client)
    client.cookies.set("language", "zh")
    page = (await client.get(path)).text
    assert "/answer-now" in page
    question = "What is a ledger?"
    assert english_words(page.replace("Hm, let me see.", "").replace(question, "")) == []
