"""From a further front to the first one: every request as it came, every answer as it was given."""

from __future__ import annotations

import asyncio
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from appliance.fronts.channel import Channel, Relayed, channel
from appliance.fronts.relay import Relay
from appliance.fronts.ticket import NAME, onwards, received, ticket
from tests.waiting import until

pytestmark = pytest.mark.anyio
SEEN = (b"host", b"x-forwarded-for", b"cookie", b"x-odd", b"content-length", NAME)


class First:
    """The app at the other end: it keeps what it was asked, and answers by the path."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self.body = b""
        self.pieces = asyncio.Queue[bytes]()
        self.left = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        answer = getattr(self, scope["path"].strip("/") or "echo", self.echo)
        await answer(receive, send)

    async def echo(self, receive: Receive, send: Send) -> None:
        more = True
        while more:
            message = await receive()
            self.body += message["body"]
            more = message["more_body"]
        headers = [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"x-odd", b"\xe4")]
        headers += [(b"connection", b"x-hop"), (b"x-hop", b"1"), (b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 203, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})

    async def stream(self, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        watch = asyncio.create_task(self._watch(receive))
        while piece := await self.pieces.get():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        watch.cancel()

    async def silent(self, receive: Receive, send: Send) -> None:
        await self._watch(receive)

    async def upload(self, receive: Receive, send: Send) -> None:
        """Says of each piece that it came, while more are to come."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while (message := await receive())["more_body"]:
            await self.pieces.put(message["body"])
        await send({"type": "http.response.body", "body": b"all"})

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left.set()
        await self.pieces.put(b"")


@asynccontextmanager
async def served(app: ASGIApp, listener: socket.socket, **options: Any) -> AsyncIterator[None]:
    options |= {"lifespan": "off", "log_config": None, "ws": "none"}
    config = uvicorn.Config(app, timeout_graceful_shutdown=5, **options)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await task


@pytest.fixture
def opened() -> Any:
    with channel() as it:
        yield it


@pytest.fixture
async def first(opened: Channel) -> AsyncIterator[First]:
    app = First()
    async with served(Relayed(app, opened.secret), opened.listener, date_header=False):
        yield app


@pytest.fixture
async def url(first: First, opened: Channel) -> AsyncIterator[str]:
    """Of a further front that relays everything."""
    relay, listener = Relay(opened.path, opened.secret), socket.create_server(("127.0.0.1", 0))
    trusted = {"proxy_headers": True, "forwarded_allow_ips": "127.0.0.9"}
    async with served(relay, listener, **trusted):
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        await relay.close()


def client(address: str = "127.0.0.1") -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.AsyncHTTPTransport(local_address=address))


async def test_a_request_arrives_as_it_was_sent(first: First, url: str) -> None:
    forged = [(NAME, b"guess https 1 203.0.113.5"), (b"x-odd", b"\xe4"), (b"x-odd", b"2")]
    async with client("127.0.0.7") as asking:
        headers = [(b"host", b"my.house:81"), (b"cookie", b"s=1"), (b"x-forwarded-for", b"8.8.8.8")]
        answer = await asking.post(
            url + "/a%7Eb//%2F?q=%20x&q=1", headers=[*headers, *forged], content=b"hello"
        )
    assert (answer.status_code, answer.content, first.body) == (203, b"ok", b"hello")
    (scope,) = first.scopes
    assert (scope["raw_path"], scope["query_string"]) == (b"/a%7Eb//%2F", b"q=%20x&q=1")
    assert (scope["client"][0], scope["scheme"]) == ("127.0.0.7", "http")
    found = [(name, value) for name, value in scope["headers"] if name in SEEN]
    assert sorted(found) == [
        (b"content-length", b"5"),
        (b"cookie", b"s=1"),
        (b"host", b"my.house:81"),
        (b"x-forwarded-for", b"8.8.8.8"),
        (b"x-odd", b"2"),
        (b"x-odd", b"\xe4"),
    ]


async def test_an_answer_comes_back_as_it_was_given(url: str) -> None:
    async with client() as asking:
        answer = await asking.get(url + "/")
        head = await asking.head(url + "/")
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert (b"x-odd", b"\xe4") in answer.headers.raw
    assert "x-hop" not in answer.headers
    assert len(answer.headers.get_list("date")) == 1
    assert (head.status_code, head.headers["content-length"], head.content) == (203, "2", b"")


async def test_a_trusted_proxys_word_goes_along(first: First, url: str) -> None:
    said = {"x-forwarded-for": "203.0.113.5", "x-forwarded-proto": "https"}
    async with client("127.0.0.9") as asking:
        await asking.get(url + "/", headers=said)
    (scope,) = first.scopes
    assert (scope["client"][0], scope["scheme"]) == ("203.0.113.5", "https")


async def test_pieces_come_one_by_one_and_a_client_that_leaves_is_seen(
    first: First, url: str
) -> None:
    async with client() as asking, asking.stream("GET", url + "/stream") as answer:
        pieces = answer.aiter_raw()
        for said in (b"one", b"two"):
            await first.pieces.put(said)
            assert await asyncio.wait_for(anext(pieces), 10) == said
        assert not first.left.is_set()
    await until(first.left.is_set)
    assert len(first.scopes) == 1


async def test_a_client_that_leaves_before_the_answer_is_seen_too(first: First, url: str) -> None:
    async with client() as asking:
        asked = asyncio.create_task(asking.post(url + "/silent", content=b"x"))
        await until(lambda: first.scopes)
        asked.cancel()
        await asyncio.wait({asked})
        assert asked.cancelled()
        await until(first.left.is_set)
        assert (await asking.get(url + "/")).status_code == 203
    assert [scope["path"] for scope in first.scopes] == ["/silent", "/"]


async def test_an_upload_goes_on_while_it_comes(first: First, url: str) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        assert await asyncio.wait_for(first.pieces.get(), 10) == b"one"
        yield b"two"

    async with client() as asking:
        answer = await asking.post(url + "/upload", content=pieces())
    assert answer.content == b"all"


async def test_a_request_for_several_hosts_goes_no_further(first: First, url: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", httpx2.URL(url).port)
    writer.write(b"GET / HTTP/1.1\r\nHost: one\r\nHost: two\r\nConnection: close\r\n\r\n")
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert first.scopes == []


async def test_a_first_front_that_is_gone_is_said_to_be(tmp_path: Path) -> None:
    relay, listener = Relay(str(tmp_path / "none"), "s"), socket.create_server(("127.0.0.1", 0))
    async with served(relay, listener), client() as asking:
        answer = await asking.get(f"http://127.0.0.1:{listener.getsockname()[1]}/")
    assert answer.status_code == 503
    assert "being stopped" in answer.json()["detail"]


def test_the_private_entrance_is_its_owners_alone(opened: Channel) -> None:
    path = Path(opened.path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_nobody_else_gets_in_by_the_private_entrance(first: First, opened: Channel) -> None:
    async with httpx2.AsyncClient(transport=httpx2.AsyncHTTPTransport(uds=opened.path)) as asking:
        for shown in ({}, {NAME.decode(): "guess http 1 127.0.0.1"}):
            assert (await asking.get("http://front/", headers=shown)).status_code == 403
    assert first.scopes == []


@pytest.mark.parametrize("origin", [("::1", 5), ("203.0.113.5", 0), None])
def test_a_ticket_says_where_a_request_came_from(origin: tuple[str, int] | None) -> None:
    scope: Scope = {"scheme": "https", "client": origin, "headers": [(b"host", b"")]}
    carried = {**scope, "scheme": "http", "client": None}
    carried["headers"] = [(b"host", b""), ticket(scope, "secret")]
    assert received(carried, "secret") == {**scope, "headers": []}
    assert received(carried, "another") is None


def test_what_belongs_to_one_connection_stays_there() -> None:
    headers = [(b"connection", b"Close, X-Mine"), (b"x-mine", b"1"), (b"te", b"gzip")]
    assert onwards([*headers, (b"expect", b"x"), (b"accept", b"y")], b"expect") == [
        (b"accept", b"y")
    ]
