"""Changes are taken one by one, versions are kept: on the pages, as without JavaScript."""

from __future__ import annotations

import asyncio
import re

import httpx2
import pytest

from tests.web.reading import english_words
from tests.web.site import Site
from tests.web.visitors import OTHER_MACHINE, visitor

pytestmark = pytest.mark.anyio

TEXT = "I has a cat. It are old."
BETTER = "I have a cat. It is old."
HTMX = {"HX-Request": "true"}


async def ordered(site: Site, client: httpx2.AsyncClient, path: str, **form: str) -> str:
    """Orders, waits for the end; the result's place."""
    answer = await client.post(path, data={"task": "polish", "text": TEXT} | form)
    assert answer.status_code == 303, answer.text
    place = str(answer.headers["location"])
    run = site.runs.get(place.rsplit("/", 1)[1], "owner")
    assert run is not None
    async with asyncio.timeout(5):
        await run.ended()
    return place


def editor(page: str) -> str:
    found = re.search(r'<textarea id="text".*?>\n(.*?)</textarea>', page, re.DOTALL)
    assert found is not None
    return found[1]


def draft_of(page: str) -> str:
    found = re.search(r'name="draft" value="(\w+)"', page)
    assert found is not None
    return found[1]


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ({"change": ["0"]}, "I have a cat. It are old."),
        ({"change": ["1"], "accept": "chosen"}, "I has a cat. It is old."),
        ({"accept": "all"}, BETTER),
        ({"change": ["7"]}, TEXT),
    ],
)
async def test_only_accepted_changes_are_taken_over(
    site: Site, client: httpx2.AsyncClient, form: dict[str, str | list[str]], text: str
) -> None:
    site.gateway.script = [BETTER]
    place = await ordered(site, client, "/write")
    page = (await client.get(place)).text
    assert len(re.findall(r'<input type="checkbox" name="change" value="\d" checked', page)) == 2
    applied = await client.post(f"{place}/apply", data={"text": TEXT} | form)
    opened = (await client.get(applied.headers["location"])).text
    assert editor(opened) == text


async def test_a_text_typed_on_in_the_meantime_is_not_overwritten(
    site: Site, client: httpx2.AsyncClient
) -> None:
    site.gateway.script = [BETTER]
    place = await ordered(site, client, "/write")
    for headers in ({}, HTMX):
        data = {"text": TEXT + " And more.", "accept": "all"}
        answer = await client.post(f"{place}/apply", data=data, headers=headers)
        assert answer.status_code == 422
        assert "The text was changed after this was asked for." in answer.text
        assert editor(answer.text) == TEXT + " And more."
        assert ('name="change"' in answer.text) is not bool(headers)


async def test_what_was_cut_off_offers_nothing_to_accept(
    site: Site, client: httpx2.AsyncClient
) -> None:
    site.gateway.script, site.gateway.finish_reason = ["I have"], "length"
    place = await ordered(site, client, "/write")
    assert 'name="change"' not in (await client.get(place)).text
    answer = await client.post(f"{place}/apply", data={"text": TEXT, "accept": "all"})
    assert answer.status_code == 400


async def test_versions_are_listed_opened_compared_restored_and_deleted(
    site: Site, client: httpx2.AsyncClient
) -> None:
    site.gateway.script = [BETTER]
    place = await ordered(site, client, "/write")
    draft = draft_of((await client.get(place)).text)
    home = f"/write/drafts/{draft}"
    await client.post(f"{place}/apply", data={"text": TEXT, "accept": "all"})
    saved = await client.post(
        "/write/drafts", data={"text": "By my own hand.\r\nTwo lines.", "draft": draft}
    )
    assert saved.headers["location"] == home
    page = (await client.get(home)).text
    assert editor(page) == "By my own hand.\nTwo lines."
    versions = re.findall(rf'href="{home}\?version=(\w+)"', page)
    assert len(versions) == 3
    assert page.index("By hand") < page.index("<span>Polish</span>")

    old = (await client.get(f"{home}?version={versions[-1]}")).text
    assert editor(old) == TEXT
    assert "The newest version differs in this:" in old
    assert "<ins>By my own hand." in old
    restored = await client.post(f"{home}/restore", data={"version": versions[-1]})
    page = (await client.get(restored.headers["location"])).text
    assert editor(page) == TEXT
    assert "Restored" in page
    assert f'<a class="aside-link" href="{home}" aria-current="true">' in page

    file = await client.get(f"{home}/download?version={versions[1]}")
    assert file.text == BETTER
    assert file.headers["content-disposition"].startswith("attachment; filename*=UTF-8''text.txt")
    gone = await client.post(f"{home}/delete")
    assert gone.headers["location"] == "/write"
    assert (await client.get(home)).status_code == 404


async def test_kept_texts_are_nobody_elses(site: Site, client: httpx2.AsyncClient) -> None:
    saved = await client.post("/write/drafts", data={"text": "private words"})
    home = saved.headers["location"]
    draft = home.rsplit("/", 1)[1]
    _, secret = await site.keys.create("anna")
    async with visitor(site, OTHER_MACHINE, **{"x-api-key": secret}) as anna:
        assert "private words" not in (await anna.get("/write")).text
        for answer in (
            await anna.get(home),
            await anna.get(f"{home}/download"),
            await anna.post(f"{home}/delete"),
            await anna.post("/write/drafts", data={"text": "mine", "draft": draft}),
            await anna.post("/write", data={"task": "polish", "text": "x", "draft": draft}),
        ):
            assert answer.status_code == 404
    assert editor((await client.get(home)).text) == "private words"
    assert (await client.get(home.replace("/write", "/code"))).status_code == 404


async def test_nothing_to_keep_is_told_at_the_field(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/write/drafts", data={"text": " \r\n"})
    assert answer.status_code == 422
    assert 'id="text-problem" role="alert">There is nothing to keep yet.' in answer.text


async def test_a_program_is_checked_and_comes_as_a_file(
    site: Site, client: httpx2.AsyncClient
) -> None:
    code = "def f(x):\n    return x\n"
    site.gateway.script = ["Look:\n```python\ndef f(x):\n    return (x\n```\nThat is all."]
    place = await ordered(site, client, "/code", task="refactor", text=code)
    page = (await client.get(place)).text
    assert "Syntax error in line 2" in page
    assert re.search(r'class="fault-line wrong"><span class="line-number">2</span>', page)
    assert "That is all." in page
    file = await client.get(f"{place}/download")
    assert file.text == "def f(x):\n    return (x\n"
    assert file.headers["content-disposition"].endswith("program.py")
    site.gateway.script = ["```go\npackage main\n\nfunc main() {}\n```"]
    place = await ordered(site, client, "/code", task="translate", text=code, target="Go")
    page = (await client.get(place)).text
    assert "Syntax is right" in page
    assert 'name="change"' not in page
    used = (await client.get(f"/code?from={place.rsplit('/', 1)[1]}")).text
    assert editor(used) == "package main\n\nfunc main() {}\n"


async def test_the_record_tells_what_it_was_for(site: Site, client: httpx2.AsyncClient) -> None:
    await ordered(site, client, "/write", task="shorten")
    (origin,) = site.gateway.origins
    # No name of an assistant: a key that is only for certain ones must not get in here.
    assert (origin.dialect, origin.assistant) == ("write", None)


async def test_all_of_it_is_in_chinese_too(site: Site, client: httpx2.AsyncClient) -> None:
    client.cookies.set("language", "zh")
    code = "# 程序\ndef f(x):\n    return x\n"
    site.gateway.script = ["```python\n# 程序\ndef f(x):\n    return x - 1\n```"]
    place = await ordered(site, client, "/code", task="refactor", text=code)
    assert (
        english_words(
            (await client.get(place))
            .text.replace("program.py", "")
            .replace("<span>python</span>", "")
        )
        == []
    )
    done = await client.post(f"{place}/apply", data={"text": code, "accept": "all"})
    home = done.headers["location"]
    page = (await client.get(home)).text
    assert english_words(page) == []
    oldest = re.findall(r"\?version=(\w+)", page)[-1]
    assert english_words((await client.get(f"{home}?version={oldest}")).text) == []
