"""Looking after chats: names by the model, settings, temporary chats, search, export, import."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from appliance.domain import Message
from appliance.gateway.hall import Place
from appliance.web.chat_title import clean_title
from tests.web.site import FACTS, Site
from tests.web.test_chat import HTMX, answer_id, begin, begun, settled

pytestmark = pytest.mark.anyio


async def test_the_model_names_the_chat_in_the_background(
    site: Site, client: httpx2.AsyncClient
) -> None:
    object.__setattr__(site.parts, "chat_titles", True)
    path = await begin(client, "What is it that merchants write their debts into?")
    await settled(site, client, path)
    site.gateway.script = ["never used"]
    answer = f"{path}/messages/{answer_id((await client.get(path)).text)}/stream"
    asks_for_it = f'hx-get="{path}/title"'
    assert asks_for_it in (await client.get(answer)).text, "also when the name was found at once"
    named = await client.get(f"{path}/title", headers=HTMX)
    assert '<h1 id="chat-title" dir="auto" hx-swap-oob="true">Hello</h1>' in named.text
    assert asks_for_it not in (await client.get(answer)).text
    first, naming = site.gateway.asked
    assert naming.prompt[: len(first.prompt)] == first.prompt, "the engine reads it once"
    assert naming.sampling.max_tokens == 32
    assert [origin.dialect for origin in site.gateway.origins] == ["chat", "title"]
    assert len({origin.conversation_id for origin in site.gateway.origins}) == 1


async def test_a_name_by_hand_stays(site: Site, client: httpx2.AsyncClient) -> None:
    path = await begin(client)
    await settled(site, client, path)
    await client.post(f"{path}/rename", data={"title": "Mine"})
    object.__setattr__(site.parts, "chat_titles", True)
    await client.post(path, data={"prompt": "More"})
    await settled(site, client, path)
    assert {origin.dialect for origin in site.gateway.origins} == {"chat"}


@pytest.mark.parametrize(
    ("said", "title"),
    [
        ('"Old Books"', "Old Books"),
        ("\n**Title: Old books.**\nmore", "Old books"),
        ("标题：《账本》。", "账本"),
        ("", ""),
        ("word " * 40, ("word " * 40)[:59] + "…"),
    ],
)
def test_a_title_loses_its_frills(said: str, title: str) -> None:
    assert clean_title(said) == title


async def test_settings_go_with_the_first_question_and_can_be_changed(
    site: Site, client: httpx2.AsyncClient
) -> None:
    chosen = {"system_prompt": "Be brief.", "temperature": "0.2", "top_k": "", "seed": "7"}
    asked = {"prompt": "Hi", "thinking": "true", "thinking_budget": "64"}
    path = (await client.post("/chat", data=asked | chosen)).headers["location"]
    page = await settled(site, client, path)
    request = site.gateway.asked[-1]
    assert request.prompt == (Message("system", "Be brief."), Message("user", "Hi"))
    assert (request.sampling.temperature, request.sampling.seed) == (0.2, 7)
    assert request.sampling.top_k is None
    assert (request.enable_thinking, request.thinking_budget) == (True, 64)
    assert 'value="0.2"' in page
    assert "Be brief." in page
    await client.post(f"{path}/settings", data={"temperature": "1.5"})
    await client.post(f"{path}/thinking", data={})
    await client.post(f"{path}/messages/{answer_id(page)}/retry")
    await settled(site, client, path)
    request = site.gateway.asked[-1]
    assert request.prompt == (Message("user", "Hi"),)
    assert (request.sampling.temperature, request.sampling.seed) == (1.5, None)
    assert (request.enable_thinking, request.thinking_budget) == (False, None)


WRONG = [
    ("temperature", "3", "Temperature must be a number from 0 to 2, but “3” was given."),
    ("top_k", "1.5", "Top-k must be a whole number from 0 to 1000, but “1.5” was given."),
    ("min_p", "nan", "Min-p must be a number from 0 to 1, but “nan” was given."),
    ("seed", "x", "Seed must be a whole number from 0 to 4294967295, but “x” was given."),
]


async def test_a_wrong_setting_is_named(site: Site, client: httpx2.AsyncClient) -> None:
    for field, value, said in WRONG:
        answer = await client.post("/chat", data={"prompt": "Hi", field: value})
        assert answer.status_code == 400, field
        assert said in answer.text
    assert site.gateway.asked == []


async def test_nothing_of_a_temporary_chat_is_kept(
    site: Site, client: httpx2.AsyncClient, tmp_path: Path
) -> None:
    asked = {"prompt": "My secret is 4711", "temporary": "true"}
    path = (await client.post("/chat", data=asked)).headers["location"]
    page = await settled(site, client, path)
    assert "not kept" in page
    assert "Hello." in page
    await client.post(path, data={"prompt": "Again"})
    await settled(site, client, path)
    assert len(site.gateway.asked[-1].prompt) == 3, "it remembers while it lasts"
    assert [origin.keep_content for origin in site.gateway.origins] == [False, False]
    assert path not in (await client.get("/")).text
    await site.writer.drained()
    with closing(sqlite3.connect(tmp_path / "appliance.db")) as database:
        assert database.execute("select count(*) from conversation").fetchone() == (0,)
        assert "4711" not in "".join(database.iterdump())
    _, secret = await site.keys.create("anna")
    anna = {"Authorization": f"Bearer {secret}"}
    assert (await client.get(path, headers=anna)).status_code == 404
    await client.post(f"{path}/delete")
    assert (await client.get(path)).status_code == 404
    assert site.runs.get(answer_id(page), "owner") is None


async def test_the_list_is_searched_pinned_and_foldered(
    site: Site, client: httpx2.AsyncClient
) -> None:
    ledger = await begin(client, "What is a ledger?")
    await settled(site, client, ledger)
    site.gateway.script = ["Because of 100% Rayleigh scattering."]
    sky = await begin(client, "Why is the sky blue?")
    await settled(site, client, sky)
    found = await client.get("/chats", params={"q": "RAYLEIGH"}, headers=HTMX)
    assert sky in found.text
    assert ledger not in found.text
    assert "<html" not in found.text
    assert sky not in (await client.get("/chats", params={"q": "100_"})).text
    nothing = (await client.get("/chats", params={"q": "quaternion"})).text
    assert "No chat holds these words." in nothing

    await client.post(f"{ledger}/pin", data={"pinned": "true"})
    await client.post(f"{sky}/folder", data={"folder": " Physics & more "})
    page = (await client.get("/")).text
    folds = [part.split("</details>")[0] for part in page.split('<details class="fold"')[1:]]
    assert ["Pinned" in folds[0], ledger in folds[0]] == [True, True]
    assert ["Physics &amp; more" in folds[1], sky in folds[1]] == [True, True]
    assert len(folds) == 2, "each chat stands once"
    assert (await client.post(f"{sky}/folder", data={"folder": "x" * 61})).status_code == 400


async def test_a_chat_survives_export_and_import(site: Site, client: httpx2.AsyncClient) -> None:
    path = await begin(client, "A “quoted” question / with slash")
    first = answer_id(await settled(site, client, path))
    site.gateway.script = ["Good day."]
    await client.post(f"{path}/messages/{first}/retry")
    await settled(site, client, path)
    await client.post(f"{path}/settings", data={"system_prompt": "Brief.", "top_p": "0.5"})
    text = await client.get(f"{path}/export/md")
    assert text.headers["content-type"].startswith("text/markdown")
    assert text.headers["content-disposition"].startswith("attachment;")
    assert text.text.endswith("## Answer\n\nGood day.\n")
    assert "Hello." not in text.text
    whole = await client.get(f"{path}/export/json")
    back = await client.post("/chats/import", files={"file": ("chat.json", whole.content)})
    place = back.headers["location"]
    assert place != path
    page = (await client.get(place)).text
    assert "Good day." in page
    assert "2/2" in page
    assert "Brief." in page
    again = json.loads((await client.get(f"{place}/export/json")).text)
    before = whole.json()
    assert again["settings"] == before["settings"]
    assert [m["content"] for m in again["messages"]] == [m["content"] for m in before["messages"]]


TURN: dict[str, Any] = {"role": "user", "content": "Hi"}


NO_CHATS: list[tuple[Any, str]] = [
    ("not a chat", "JSON"),
    ({"messages": []}, "messages"),
    ({"messages": [TURN | {"role": "system"}]}, "messages.0.role"),
    ({"messages": [TURN | {"id": "a", "parent": "b"}]}, "“b”"),
    ({"messages": [TURN], "settings": {"sampling": {"top_p": 7}}}, "Top-p"),
]


async def test_what_is_no_chat_is_not_imported(client: httpx2.AsyncClient) -> None:
    for content, said in NO_CHATS:
        file = ("x.json", json.dumps(content).encode())
        answer = await client.post("/chats/import", files={"file": file})
        assert answer.status_code == 400, content
        assert said in answer.text


async def test_a_plain_list_of_messages_is_a_chat(client: httpx2.AsyncClient) -> None:
    turns = [TURN, {"role": "assistant", "content": "Hello <b>"}]
    content = json.dumps({"messages": turns}).encode()
    back = await client.post("/chats/import", files={"file": ("x.json", content)})
    page = (await client.get(back.headers["location"])).text
    assert "Hello &lt;b&gt;" in page


async def test_the_place_in_line_is_told_while_it_waits(
    site: Site, client: httpx2.AsyncClient
) -> None:
    site.engine.board.publish(phase="loading")
    site.gateway.standing = Place(2, 14.0)
    path = await begin(client)
    place = f"{path}/messages/{answer_id((await client.get(path)).text)}/stream?once=1"
    assert "Number 2 in line, about 14.0 s" in (await client.get(place)).text
    site.engine.board.publish(phase="ready")
    assert "in line" not in await settled(site, client, path)


async def test_the_context_in_use_is_shown(site: Site, client: httpx2.AsyncClient) -> None:
    page = await settled(site, client, await begin(client))
    assert "2 of 4,096 tokens" in page
    site.engine.board.publish(facts=replace(FACTS, context_length=0))
    path = await begin(client)
    assert "of 0 tokens" not in await settled(site, client, path)


async def test_a_long_chat_comes_in_parts(site: Site, client: httpx2.AsyncClient) -> None:
    turns = [{"role": ("user", "assistant")[n % 2], "content": f"turn {n}."} for n in range(100)]
    content = json.dumps({"messages": turns}).encode()
    back = await client.post("/chats/import", files={"file": ("x.json", content)})
    path = back.headers["location"]
    page = (await client.get(path)).text
    assert "turn 99." in page
    assert "turn 59." not in page
    earlier = page.split('class="button small earlier" href="')[1].split('"')[0]
    part = (await client.get(earlier, headers=HTMX)).text
    assert ("turn 59." in part, "turn 20." in part, "turn 60." in part) == (True, True, False)
    whole = (await client.get(earlier)).text
    assert ("turn 20." in whole, "turn 99." in whole) == (True, True)


async def test_stopping_gives_the_model_no_more_names_to_find(
    site: Site, client: httpx2.AsyncClient
) -> None:
    object.__setattr__(site.parts, "chat_titles", True)
    site.gateway.script = ["Half", asyncio.Event()]
    path = await begin(client)
    await begun(site, client, path)
    await client.post(f"{path}/stop")
    assert len(site.gateway.asked) == 1
