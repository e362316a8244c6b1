"""The keys page: made once, shown once, listed, revoked; for the owner and admins only."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from appliance.domain import Timings, Usage
from appliance.ledger.ids import new_id
from tests.web.reading import english_words
from tests.web.site import Site
from tests.web.visitors import OTHER_MACHINE, visitor

pytestmark = pytest.mark.anyio


def secrets_on(page: str) -> set[str]:
    return set(re.findall(r"sk-appl-[\w-]{43}", page))


async def test_no_keys_yet_says_when_one_is_needed(client: httpx2.AsyncClient) -> None:
    page = (await client.get("/keys")).text
    assert "No keys yet" in page
    assert "On this machine you need none" in page


async def test_a_new_key_is_shown_once_and_works(site: Site, client: httpx2.AsyncClient) -> None:
    page = (await client.post("/keys", data={"name": "anna", "expires": "30"})).text
    (secret,) = secrets_on(page)
    assert f'-H "Authorization: Bearer {secret}"' in page
    assert 'base_url="http://127.0.0.1/v1"' in page

    again = (await client.get("/keys")).text
    assert secrets_on(again) == set()
    assert f"{secret[:11]}…" in again
    async with visitor(site, OTHER_MACHINE, **{"x-api-key": secret}) as anna:
        assert (await anna.get("/history")).status_code == 200


async def test_name_expiry_rate_and_admin_are_kept(site: Site, client: httpx2.AsyncClient) -> None:
    form = {"name": " 小王 ", "expires": "7", "rate": "60/minute", "is_admin": "true"}
    assert (await client.post("/keys", data=form)).status_code == 200
    await client.post("/keys", data={"name": "forever", "expires": ""})
    week, forever = await site.keys.list()
    assert (week.name, week.rate, week.is_admin) == ("小王", "60/minute", True)
    assert week.expires_at is not None
    assert abs(week.expires_at - datetime.now(UTC) - timedelta(days=7)) < timedelta(minutes=1)
    assert (forever.expires_at, forever.rate, forever.is_admin) == (None, None, False)


@pytest.mark.parametrize(
    ("form", "field", "said"),
    [
        ({"name": "anna"}, "name", "There is a key called “anna” already"),
        ({"name": "Owner"}, "name", "is reserved"),
        ({"name": ""}, "name", "1 to 64 characters"),
        ({"name": "ben", "rate": "often"}, "rate", "like 60/minute"),
        ({"name": "ben", "expires": "12"}, "expires", "Choose one of the offered times."),
        ({"name": "ben", "expires": "²"}, "expires", "Choose one of the offered times."),
    ],
)
async def test_a_mistake_is_told_at_its_field(
    site: Site, client: httpx2.AsyncClient, form: dict[str, str], field: str, said: str
) -> None:
    await site.keys.create("anna")
    answer = await client.post("/keys", data={"expires": "7", "rate": ""} | form)
    assert answer.status_code == 422
    problem = re.search(rf'id="{field}-problem" role="alert">([^<]+)<', answer.text)
    assert problem is not None
    assert said in problem[1]
    assert re.search(rf'id="{field}"[^>]*aria-invalid="true"', answer.text)
    assert secrets_on(answer.text) == set()
    assert len(await site.keys.list()) == 1


async def test_what_was_typed_comes_back_escaped(client: httpx2.AsyncClient) -> None:
    evil = '"><script>alert(1)</script>'
    page = (await client.post("/keys", data={"name": evil, "rate": evil, "expires": evil})).text
    assert "<script>alert" not in page
    assert page.count("&#34;&gt;&lt;script&gt;") >= 2


async def test_a_revoked_key_is_refused_at_once_and_stays_listed(
    site: Site, client: httpx2.AsyncClient
) -> None:
    _, secret = await site.keys.create("anna")
    assert "Revoke it for good" in (await client.get("/keys")).text
    answer = await client.post("/keys/revoke", data={"name": "anna"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/keys")
    page = (await client.get("/keys")).text
    assert "revoked" in page
    assert "Revoke it for good" not in page
    async with visitor(site, OTHER_MACHINE, **{"x-api-key": secret}) as anna:
        assert (await anna.get("/history")).headers["location"] == "/login?next=/history"


async def test_revoking_what_is_not_there(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/keys/revoke", data={"name": "<b>nobody</b>"})
    assert answer.status_code == 404
    assert "There is no key called “&lt;b&gt;nobody&lt;/b&gt;”" in answer.text


@pytest.mark.parametrize(
    ("method", "path", "form"),
    [
        ("GET", "/keys", {}),
        ("POST", "/keys", {"name": "mine", "is_admin": "true"}),
        ("POST", "/keys/revoke", {"name": "anna"}),
    ],
)
async def test_an_ordinary_key_manages_no_keys(
    site: Site, method: str, path: str, form: dict[str, str]
) -> None:
    _, secret = await site.keys.create("anna")
    async with visitor(site, OTHER_MACHINE, **{"x-api-key": secret}) as anna:
        answer = await anna.request(method, path, data=form)
    assert answer.status_code == 403
    assert "Only the owner and admin keys may manage keys." in answer.text
    assert [(key.name, key.state) for key in await site.keys.list()] == [("anna", "active")]


async def test_an_admin_key_does(site: Site) -> None:
    _, secret = await site.keys.create("chief", is_admin=True)
    async with visitor(site, OTHER_MACHINE, **{"x-api-key": secret}) as chief:
        assert secrets_on((await chief.post("/keys", data={"name": "ben"})).text)


async def test_another_site_cannot_make_keys(site: Site, client: httpx2.AsyncClient) -> None:
    headers = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    answer = await client.post("/keys", data={"name": "evil"}, headers=headers)
    assert answer.status_code == 403
    assert await site.keys.list() == []


async def test_chinese_is_complete(site: Site, client: httpx2.AsyncClient) -> None:
    client.cookies.set("language", "zh")
    assert english_words((await client.get("/keys")).text) == []
    await site.keys.create("小王", expires_at=datetime.now(UTC) + timedelta(days=3))
    await site.keys.revoke("小王")
    made = await client.post("/keys", data={"name": "小李", "is_admin": "true", "rate": "9/day"})
    assert english_words(made.text) == []
    for wrong in ({"name": "小李"}, {"name": ""}, {"name": "老", "expires": "x"}):
        assert english_words((await client.post("/keys", data=wrong)).text) == []


async def test_a_keys_rules_are_set_kept_and_changed(
    site: Site, client: httpx2.AsyncClient
) -> None:
    form = {"name": "anna", "expires": "7", "scopes_shown": "1", "chat": "1", "history": "1"}
    limits = {"tokens_per_minute": "1000", "parallel": "2", "models": "Script-1B, poet"}
    made = await client.post("/keys", data=form | limits | {"log_content": "metadata"})
    assert made.status_code == 200
    (key,) = await site.keys.list()
    assert (key.scopes, key.models) == (["chat", "history"], ["Script-1B", "poet"])
    assert (key.tokens_per_minute, key.parallel, key.log_content) == (1000, 2, "metadata")

    page = (await client.get("/keys/of", params={"name": "anna"})).text
    for field in ('name="parallel" value="2"', 'value="Script-1B, poet"', 'name="history" value'):
        assert field in page
    changed = {"name": "anna", "expires": "keep", "scopes_shown": "1", "chat": "1", "parallel": ""}
    answer = await client.post("/keys/change", data=changed)
    assert (answer.status_code, answer.headers["location"]) == (303, "/keys/of?name=anna")
    (after,) = await site.keys.list()
    assert (after.scopes, after.models, after.parallel) == (["chat"], None, None)
    assert after.expires_at == key.expires_at


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"parallel": "two"}, "parallel"),
        ({"max_tokens": "0"}, "max_tokens"),
        ({"rate": "x"}, "rate"),
    ],
)
async def test_a_mistake_in_a_change_is_told_at_its_field(
    site: Site, client: httpx2.AsyncClient, change: dict[str, str], field: str
) -> None:
    await site.keys.create("anna", parallel=3)
    form = {"name": "anna", "expires": "keep", "scopes_shown": "1", "chat": "1"}
    answer = await client.post("/keys/change", data=form | change)
    assert answer.status_code == 422
    assert f'id="{field}-problem" role="alert"' in answer.text
    assert (await site.keys.list())[0].parallel == 3


async def test_a_key_that_may_do_nothing_is_not_made(
    site: Site, client: httpx2.AsyncClient
) -> None:
    answer = await client.post("/keys", data={"name": "anna", "scopes_shown": "1"})
    assert answer.status_code == 422
    assert 'id="scopes-problem" role="alert"' in answer.text
    assert await site.keys.list() == []


async def test_a_new_secret_is_shown_once_and_the_old_one_works_on(
    site: Site, client: httpx2.AsyncClient
) -> None:
    _, first = await site.keys.create("anna")
    page = (await client.post("/keys/rotate", data={"name": "anna", "grace": "24"})).text
    (second,) = secrets_on(page)
    assert "the secret before it works until" in page
    for secret in (first, second):
        assert await site.keys.find(secret) is not None
    assert not secrets_on((await client.get("/keys/of", params={"name": "anna"})).text)
    assert (
        await client.post("/keys/rotate", data={"name": "anna", "grace": "5"})
    ).status_code == 400


async def test_its_use_is_drawn_by_day(site: Site, client: httpx2.AsyncClient) -> None:
    await site.keys.create("anna")
    for key_name, error in (("anna", None), ("anna", "refused"), ("ben", None)):
        record(site, key_name, error)
    page = (await client.get("/keys/of", params={"name": "anna"})).text
    assert "2 in all, 1 of them refused or failed." in page
    assert "20 tokens in all" in page
    assert page.count('class="plot-bar"') == 2


async def test_the_page_of_a_key_is_complete_in_chinese(
    site: Site, client: httpx2.AsyncClient
) -> None:
    client.cookies.set("language", "zh")
    await site.keys.create("小王", scopes=["history"], rate="9/day")
    assert english_words((await client.get("/keys/of", params={"name": "小王"})).text) == []
    renewed = await client.post("/keys/rotate", data={"name": "小王", "grace": "24"})
    assert english_words(renewed.text) == []


def record(site: Site, key_name: str, error: str | None) -> None:
    """A request with an answer of six tokens to four."""
    request_id, generation_id = new_id(), new_id()
    site.recorder.open_request(
        id=request_id,
        created_at=datetime.now(UTC),
        method="POST",
        path="/generate",
        client_ip=OTHER_MACHINE,
        user_agent="curl",
    )
    site.recorder.open_generation(
        id=generation_id,
        request_id=request_id,
        model="Script-1B",
        precision="fp32",
        engine="script",
        parameters={},
        input="Hello",
    )
    site.recorder.close_generation(
        generation_id,
        output="Hi",
        reasoning=None,
        usage=Usage(6, 4),
        timings=Timings(0, 1, 2),
        finish_reason="error" if error else "stop",
        error=error,
    )
    site.recorder.close_request(request_id, status=200, duration_ms=2, key_name=key_name)
