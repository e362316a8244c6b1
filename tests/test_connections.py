"""What a client may hold open: real sockets, and the server as it is configured."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send

from appliance.connections import MOST_HEAD_BYTES, BoundedConnection
from appliance.listening import bind
from appliance.server import Beside, alongside, config_for
from appliance.settings import load_settings

pytestmark = pytest.mark.anyio
SHORT = 0.05
HEAD = b"POST / HTTP/1.1\r\nHost: appliance\r\nContent-Length: %d\r\n\r\n"


class App:
    """Reads what is sent, then answers with its length, or with an answer that never ends."""

    def __init__(self) -> None:
        self.endless = False
        self.left = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        length, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left.set()
                return
            length, more = length + len(message["body"]), message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if self.endless:
            gone = asyncio.create_task(self._gone(receive))
            while not gone.done():
                await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
                await asyncio.sleep(0)
            return
        await send({"type": "http.response.body", "body": str(length).encode()})

    async def _gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left.set()


@asynccontextmanager
async def connected(
    app: App, folder: Path
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    listener = bind("127.0.0.1", 0)
    config = config_for(app, load_settings({"data_dir": folder, "drain_seconds": 0}, {}))
    config.lifespan = "off"
    async with alongside(Beside(config), listener):
        reader, writer = await asyncio.open_connection(*listener.getsockname()[:2])
        try:
            async with asyncio.timeout(20):
                yield reader, writer
        finally:
            writer.close()


async def rest(reader: asyncio.StreamReader) -> bytes:
    """What comes until the server has closed."""
    try:
        return await reader.read()
    except ConnectionError:
        return b""


async def test_whoever_says_nothing_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedConnection, "head_seconds", SHORT)
    async with connected(App(), tmp_path) as (reader, _):
        assert await rest(reader) == b""


@pytest.mark.parametrize("line", [b"a", b"a: b\r\n"])
async def test_a_head_that_never_ends_is_cut_off(tmp_path: Path, line: bytes) -> None:
    async with connected(App(), tmp_path) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: appliance\r\nX-Long: ")
        writer.write(line * (2 * MOST_HEAD_BYTES // len(line)))
        assert b"200" not in await rest(reader)


async def test_a_body_that_stops_coming_is_a_client_that_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedConnection, "request_seconds", SHORT)
    app = App()
    async with connected(app, tmp_path) as (reader, writer):
        writer.write(HEAD % 10 + b"x")
        assert await rest(reader) == b""
        await app.left.wait()


async def test_an_answer_that_nobody_reads_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedConnection, "unread_seconds", SHORT)
    app = App()
    app.endless = True
    async with connected(app, tmp_path) as (_, writer):
        writer.write(HEAD % 0)
        await app.left.wait()


async def test_whoever_reads_and_writes_is_served_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("head_seconds", "request_seconds", "unread_seconds"):
        monkeypatch.setattr(BoundedConnection, name, 10.0)
    body = b"x" * (3 * MOST_HEAD_BYTES)
    async with connected(App(), tmp_path) as (reader, writer):
        for _ in range(3):
            writer.write(HEAD % len(body) + body)
            answer = await reader.readuntil(b"0\r\n\r\n")
            assert str(len(body)).encode() in answer
