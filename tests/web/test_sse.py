from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from starlette.requests import Request
from starlette.responses import Response

from appliance.errors import NotAuthenticated, PermissionDenied
from appliance.gateway.http import RequestRecord
from appliance.web import files
from appliance.web.page import Page
from appliance.web.sse import PING, event, stranger, with_pings
from tests.web.site import Site

pytestmark = pytest.mark.anyio


def request_of(**headers: str) -> Request:
    """From a browser on another machine."""
    scope = {
        "type": "http", "method": "GET", "path": "/history/live", "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("192.168.1.20", 50000), "server": ("192.168.1.10", 80), "scheme": "http",
        "state": {"record": RequestRecord("x")},
    }  # fmt: skip
    return Request(scope)


async def for_ever() -> None:
    await asyncio.Event().wait()


def parse(stream: str) -> list[tuple[str, str]]:
    """Events as the HTML standard's algorithm reads them."""
    found = []
    for block in stream.split("\n\n")[:-1]:
        fields = [line.split(": ", 1) for line in block.split("\n")]
        data = "\n".join(field[1] for field in fields if field[0] == "data")
        found.append((dict(fields)["event"], data))
    return found


@pytest.mark.parametrize(
    "data", ["", "one", "two\nlines", "\n", "ends\n", "<p>a</p>\n\n<p>b</p>", "data: x\nevent: y"]
)
def test_what_is_sent_is_what_is_read(data: str) -> None:
    assert parse(event("tail", data)) == [("tail", data)]


def test_a_lone_carriage_return_cannot_end_a_field() -> None:
    assert parse(event("tail", "a\rb\r\nc")) == [("tail", "a\nb\nc")]


async def test_silence_is_filled_with_comments() -> None:
    going_on = asyncio.Event()

    async def slow() -> AsyncGenerator[str, None]:
        yield "first"
        await going_on.wait()
        yield "second"

    seen: list[str] = []
    async for piece in with_pings(slow(), until=for_ever(), seconds=0.001):
        seen.append(piece)
        if len(seen) == 4:
            going_on.set()
    assert seen[:4] == ["first", PING, PING, PING]
    assert seen[-1] == "second"


async def test_a_reader_who_leaves_closes_the_source() -> None:
    closed = asyncio.Event()
    waiting = asyncio.Event()

    async def endless() -> AsyncGenerator[str, None]:
        try:
            yield "first"
            waiting.set()
            await asyncio.Event().wait()
        finally:
            closed.set()

    async def read() -> None:
        async for _ in with_pings(endless(), until=for_ever()):
            pass

    reader = asyncio.create_task(read())
    await asyncio.wait_for(waiting.wait(), 5)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert closed.is_set()


async def test_what_is_followed_ends_with_the_right_to_follow_it() -> None:
    closed, over = asyncio.Event(), asyncio.Event()

    async def endless() -> AsyncGenerator[str, None]:
        try:
            yield "first"
            await asyncio.Event().wait()
        finally:
            closed.set()

    async def until() -> None:
        await over.wait()

    seen = []
    async with asyncio.timeout(5):
        async for piece in with_pings(endless(), until=until()):
            seen.append(piece)
            over.set()
    assert seen == ["first"]
    assert closed.is_set()


async def come_to(end: str, site: Site) -> None:
    if end == "revoked":
        await site.keys.revoke("anna")
    elif end == "signed out":
        await site.parts.joining.end_sessions("anna")
    elif end == "another scope":
        await site.keys.change("anna", scopes=["chat"])


@pytest.mark.parametrize("end", ["revoked", "another scope", "nothing"])
async def test_a_file_is_sent_for_as_long_as_its_reader_may_have_it(
    site: Site, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setattr(files, "LOOK_EVERY_SECONDS", 0)
    _, secret = await site.keys.create("anna", scopes=["chat", "history"])
    request = request_of(**{"x-api-key": secret})
    page = Page(request, site.parts, await site.parts.identify(request))

    async def lines() -> AsyncGenerator[str, None]:
        yield "first"
        await come_to(end, site)
        yield "second"

    sent = files.growing_download(page, lines(), "x.csv", "text/csv").body_iterator
    assert await anext(aiter(sent)) == "first"
    if end == "nothing":
        assert [piece async for piece in sent] == ["second"]
    else:
        with pytest.raises((NotAuthenticated, PermissionDenied)):
            await anext(aiter(sent))


@pytest.mark.parametrize("end", ["revoked", "signed out", "another scope", "nothing"])
async def test_a_reader_is_asked_again_who_they_are(site: Site, end: str) -> None:
    key, _ = await site.keys.create("anna", scopes=["chat", "history"])
    cookie = Response()
    site.parts.sessions.start(request_of(), cookie, key.id, key.session_epoch)
    request = request_of(cookie=cookie.headers["set-cookie"].partition(";")[0])
    page = Page(request, site.parts, await site.parts.identify(request))
    watch = asyncio.create_task(stranger(page, every=0.001))
    await come_to(end, site)
    (over, _) = await asyncio.wait({watch}, timeout=0.1 if end == "nothing" else 10)
    assert bool(over) == (end != "nothing")
    watch.cancel()
