"""Signing in with a key from another machine, and out again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from sqlmodel import col, update

from appliance.ledger.tables_keys import ApiKey
from appliance.web.login import local_path
from tests.web.reading import english_words
from tests.web.site import Site
from tests.web.visitors import visitor

pytestmark = pytest.mark.anyio

HOUR = timedelta(hours=1)


async def test_a_good_key_opens_the_page_one_came_for(
    site: Site, stranger: httpx2.AsyncClient
) -> None:
    _, secret = await site.keys.create("anna")
    place = (await stranger.get("/history")).headers["location"]
    form = (await stranger.get(place)).text
    assert 'name="next" value="/history"' in form

    answer = await stranger.post("/login", data={"key": f" {secret} ", "next": "/history"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/history")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert secret.lower() not in cookie
    assert (await stranger.get("/history")).status_code == 200


async def test_a_key_for_the_history_lands_there_and_asks_nothing(
    site: Site, stranger: httpx2.AsyncClient
) -> None:
    _, secret = await site.keys.create("rita", scopes=["history"])
    answer = await stranger.post("/login", data={"key": secret})
    assert answer.headers["location"] == "/history"
    refused = await stranger.post("/chat", data={"prompt": "Hello"})
    assert refused.status_code == 403
    assert "for reading the history only" in refused.text
    assert site.gateway.asked == []


async def test_logging_out_closes_the_door(site: Site, stranger: httpx2.AsyncClient) -> None:
    _, secret = await site.keys.create("anna")
    await stranger.post("/login", data={"key": secret})
    assert 'action="/logout"' in (await stranger.get("/history")).text
    assert (await stranger.post("/logout")).status_code == 303
    assert (await stranger.get("/history")).status_code == 303


@pytest.mark.parametrize("key", ["", "wrong", "sk-appl-" + "x" * 43, "<script>alert(1)</script>"])
async def test_a_wrong_key_is_refused_and_not_repeated(
    stranger: httpx2.AsyncClient, key: str
) -> None:
    answer = await stranger.post("/login", data={"key": key})
    assert answer.status_code == 403
    assert "This key is not known here." in answer.text
    assert "set-cookie" not in answer.headers
    assert not key or key not in answer.text.split('<form class="card form"')[1]


async def test_revoked_and_expired_keys_are_told_so(
    site: Site, stranger: httpx2.AsyncClient
) -> None:
    _, revoked = await site.keys.create("old")
    await site.keys.revoke("old")
    assert "was revoked" in (await stranger.post("/login", data={"key": revoked})).text
    key, expired = await site.keys.create("brief", expires_at=datetime.now(UTC) + HOUR)
    ended = update(ApiKey).where(col(ApiKey.id) == key.id).values(expires_at=key.created_at)
    await site.writer.execute(lambda session: session.execute(ended))
    assert "has expired" in (await stranger.post("/login", data={"key": expired})).text


async def test_a_session_ends_with_its_key_and_the_page_says_why(
    site: Site, stranger: httpx2.AsyncClient
) -> None:
    _, secret = await site.keys.create("anna")
    await stranger.post("/login", data={"key": secret})
    await site.keys.revoke("anna")
    answer = await stranger.get("/history", follow_redirects=True)
    assert "This key was revoked." in answer.text
    assert "Forget it" in answer.text


async def test_ten_wrong_keys_a_minute_are_enough(site: Site, stranger: httpx2.AsyncClient) -> None:
    _, secret = await site.keys.create("anna")
    for _ in range(10):
        assert (await stranger.post("/login", data={"key": "guess"})).status_code == 403
    refused = await stranger.post("/login", data={"key": secret})
    assert refused.status_code == 429
    assert "Too many wrong keys" in refused.text
    async with visitor(site, "192.168.1.99") as neighbour:
        assert (await neighbour.post("/login", data={"key": secret})).status_code == 303


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        ("/history?show=all", "/history?show=all"),
        ("https://evil.example", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("", "/"),
    ],
)
def test_after_login_one_stays_on_this_site(wanted: str, path: str) -> None:
    assert local_path(wanted) == path


async def test_chinese_is_complete(stranger: httpx2.AsyncClient) -> None:
    stranger.cookies.set("language", "zh")
    assert english_words((await stranger.get("/login")).text) == []
    assert english_words((await stranger.post("/login", data={"key": "x"})).text) == []
