"""Assistants: chosen, made, shared, talked to; by their owner and by strangers with a link."""

from __future__ import annotations

import asyncio
import re
from html import unescape

import httpx2
import pytest

from appliance.web.talks import Talks
from tests.web.reading import english_words
from tests.web.site import Site
from tests.web.visitors import OTHER_MACHINE, visitor

pytestmark = pytest.mark.anyio
SERVICE = "/assistants/service/talk"
OWN = {
    "name": "Shop",
    "kind": "service",
    "instructions": "Be kind.",
    "faq": "Q: Do you sell tea?\nA: Green and black.",
    "handover": "Ask Ben.",
    "origins": "https://shop.example\nhttp://localhost:9000",
}


async def make(client: httpx2.AsyncClient, **changes: str) -> str:
    """The path of a new assistant."""
    files = {"faq_file": ("", b"")}
    answer = await client.post("/assistants", data=OWN | changes, files=files)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


async def say(client: httpx2.AsyncClient, path: str, question: str, **fields: str) -> str:
    """Where the answer is, once it is complete."""
    answer = await client.post(path, data={"prompt": question, **fields})
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"]).partition("#")[0]


async def complete(site: Site, client: httpx2.AsyncClient, path: str) -> str:
    for run in list(site.runs._runs.values()):
        await run.ended()
    return (await client.get(path)).text


async def test_the_page_offers_the_three_that_come_along(client: httpx2.AsyncClient) -> None:
    page = (await client.get("/assistants")).text
    places = re.findall(r'class="button small primary" href="([^"]+)"', page)
    assert places == ["/?assistant=general", "/?assistant=tutor", SERVICE]


async def test_pages_are_chinese_throughout(site: Site) -> None:
    async with visitor(site, "127.0.0.1", **{"accept-language": "zh"}) as reader:
        for path in ("/assistants", "/assistants/new?like=tutor", f"{SERVICE[:-5]}/share", SERVICE):
            page = await reader.get(path)
            assert page.status_code == 200
            names = re.sub(r"\b(?:CSV|PDF|DOCX)\b|shop\.example", "", page.text)
            assert english_words(names) == [], path


async def test_one_is_made_changed_and_deleted(client: httpx2.AsyncClient) -> None:
    path = await make(client)
    shown = (await client.get(path)).text
    assert "1 entry was found." in shown
    document = ("more.md", b"## Coffee?\nOnly on Sundays.", "text/markdown")
    changed = OWN | {"name": "Tea shop", "faq": "## Tea?\nYes."}
    await client.post(path, data=changed, files={"faq_file": document})
    shown = (await client.get(path)).text
    assert 'value="Tea shop"' in shown
    assert "2 entries were found." in shown
    copied = (await client.get(f"/assistants/new?like={path.rpartition('/')[2]}")).text
    assert 'value="Tea shop (copy)"' in copied
    await client.post(f"{path}/delete")
    assert (await client.get(path)).status_code == 404


WRONG = [
    ({"name": " "}, "name", "needs a name"),
    ({"faq": ""}, "faq", "needs questions with answers"),
    ({"temperature": "hot"}, "temperature", "a number from 0 to 2"),
    ({"origins": "shop.example"}, "origins", "is not a site"),
    ({"origins": "https://a.example; script-src *"}, "origins", "is not a site"),
    ({"replies": "a\n" * 7}, "replies", "At most 6 replies"),
]


async def test_what_is_wrong_is_said_at_its_field(client: httpx2.AsyncClient) -> None:
    for changes, field, said in WRONG:
        data = OWN | {"description": "kept"} | changes
        answer = await client.post("/assistants", data=data, files={"faq_file": ("", b"")})
        assert answer.status_code == 422
        assert f'id="{field}-problem"' in answer.text
        assert said in answer.text
        assert 'value="kept"' in answer.text


async def test_the_presets_and_others_assistants_cannot_be_changed(
    site: Site, client: httpx2.AsyncClient
) -> None:
    path = await make(client)
    _, secret = await site.keys.create("anna")
    async with visitor(site, OTHER_MACHINE, authorization=f"Bearer {secret}") as anna:
        assert (await anna.get(path)).status_code == 404
        files = {"faq_file": ("", b"")}
        assert (await anna.post(path, data=OWN, files=files)).status_code == 404
        assert (await anna.post(f"{path}/delete")).status_code == 404
        assert (await anna.get("/assistants/tutor/share")).status_code == 403
    answer = await client.post("/assistants/tutor", data=OWN, files={"faq_file": ("", b"")})
    assert answer.status_code == 404


async def test_an_answer_from_the_list_names_its_entry(
    site: Site, client: httpx2.AsyncClient
) -> None:
    site.gateway.script = ["Within 30 days, unused [3]."]
    page = await complete(site, client, await say(client, SERVICE, "  How can I  return it? "))
    asked = site.gateway.asked[-1]
    assert isinstance(asked.prompt, tuple)
    assert asked.prompt[-1].content == "How can I return it?"
    assert "[3] How can I return something?" in asked.prompt[0].content
    assert asked.sampling.temperature == 0
    assert site.gateway.origins[-1].assistant == "service"
    assert "<strong>[3] How can I return something?</strong>" in page
    assert "Not in the list" not in page


async def test_what_is_not_in_the_list_is_handed_over_without_a_guess(
    site: Site, client: httpx2.AsyncClient
) -> None:
    page = await complete(site, client, await say(client, SERVICE, "Do you sell bicycles?"))
    assert site.gateway.asked == []
    assert "Not in the list of answers" in page
    assert "service@shop.example" in page


async def test_a_talk_goes_on_and_a_tutor_offers_replies(
    site: Site, client: httpx2.AsyncClient
) -> None:
    path = await say(client, "/assistants/tutor/talk", "What is 3 times 4?")
    page = await complete(site, client, path)
    assert "Give me a hint" in page
    (talk,) = set(re.findall(r'name="talk" value="([^"]+)"', page))
    path = await say(client, "/assistants/tutor/talk", "Give me a hint", talk=talk)
    await complete(site, client, path)
    prompt = site.gateway.asked[-1].prompt
    assert [turn.content for turn in prompt[1:]] == [  # type: ignore[union-attr]
        "What is 3 times 4?", "Hello.", "Give me a hint",
    ]  # fmt: skip
    assert "patient tutor" in prompt[0].content  # type: ignore[union-attr]


async def test_the_stream_ends_with_the_turn_as_it_stays(
    site: Site, client: httpx2.AsyncClient
) -> None:
    more = asyncio.Event()
    site.gateway.script = ["Free from 50 on [2].", more]
    page = await client.get(await say(client, SERVICE, "What does shipping cost?"))
    found = re.search(r'sse-connect="([^"]+)"', page.text)
    assert found is not None
    more.set()
    events = (await client.get(unescape(found[1]))).text
    assert "event: done" in events
    assert "[2] What does shipping cost?" in events
    assert "<html" not in events


async def test_a_link_opens_one_assistant_and_nothing_else(
    site: Site, client: httpx2.AsyncClient
) -> None:
    page = await client.post("/assistants/tutor/share", data={"name": "class 7b", "use": "link"})
    found = re.search(r'id="link">([^<]+)<', page.text)
    assert found is not None
    link = unescape(found[1]).partition("//")[2].partition("/")[2]
    async with visitor(site, OTHER_MACHINE) as stranger:
        assert (await stranger.get(f"/{link}")).status_code == 200
        talk = await say(stranger, f"/{link}", "Help me")
        assert "Hello." in await complete(site, stranger, talk)
        other = link.replace("tutor", "general")
        assert (await stranger.get(f"/{other}")).status_code == 404
        key = link.partition("key=")[2]
        stranger.headers["x-api-key"] = key
        for closed in ("/history", "/", "/chats", "/assistants/tutor/share", "/attachments/x"):
            assert (await stranger.get(closed)).status_code == 403, closed
        del stranger.headers["x-api-key"]
        await client.post("/assistants/tutor/share/revoke", data={"name": "class 7b"})
        assert (await stranger.get(f"/{link}")).status_code != 200


async def test_visitors_of_one_link_do_not_see_each_other(
    site: Site, client: httpx2.AsyncClient
) -> None:
    path = await say(client, "/assistants/tutor/talk", "My secret question")
    guessed = re.sub(r"talk=[^&]+", "talk=guessed", path)
    assert (await client.get(guessed)).status_code == 404
    assert "My secret question" not in (await client.get("/assistants/tutor/talk")).text
    other = path.replace("tutor", "general")
    assert (await client.get(other)).status_code == 404


async def test_after_a_restart_the_page_says_so_and_the_next_question_begins_a_new_talk(
    site: Site, client: httpx2.AsyncClient
) -> None:
    path = await say(client, SERVICE, "What does shipping cost?")
    object.__setattr__(site.parts, "talks", Talks())
    forgotten = await client.get(path)
    assert "This talk has ended. You can begin a new one here." in english_words(forgotten.text)
    talk = path.partition("talk=")[2].partition("#")[0]
    asked = await client.post(SERVICE, data={"prompt": "And abroad?", "talk": talk})
    again = asked.headers["location"]
    assert talk not in again
    assert "And abroad?" in (await client.get(again)).text


async def test_only_the_named_sites_may_frame_it(client: httpx2.AsyncClient) -> None:
    path = await make(client)
    page = await client.post(f"{path}/share", data={"name": "window", "use": "widget"})
    line = re.search(r'id="line">(.+?)</code>', page.text)
    assert line is not None
    script = unescape(line[1])
    assert '/widget.js" data-talk="' in script
    found = re.search(r'data-talk="([^"]+)"', script)
    assert found is not None
    framed = await client.get(unescape(found[1]))
    policy = framed.headers["content-security-policy"]
    assert "frame-ancestors https://shop.example http://localhost:9000" in policy
    assert "default-src 'self'" in policy
    plain = (await client.get(f"{path}/talk")).headers["content-security-policy"]
    assert "frame-ancestors 'none'" in plain
    preset = (await client.get(SERVICE + "?embed=1")).headers["content-security-policy"]
    assert "frame-ancestors 'none'" in preset
    widget = await client.get("/widget.js")
    assert widget.headers["cross-origin-resource-policy"] == "cross-origin"
