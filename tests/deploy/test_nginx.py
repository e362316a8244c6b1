"""nginx in front: tokens at once, true addresses, many streams, and nothing let in by mistake."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing

import httpx2
import psutil
import pytest

from tests.deploy.proxied import NGINX, Proxied, proxied
from tests.waiting import until

STREAMS = 20

pytestmark = [
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed"),
    pytest.mark.anyio,
]


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    with proxied(tmp_path_factory.mktemp("nginx")) as running:
        yield running


@pytest.fixture(scope="module")
def key(front: Proxied) -> str:
    answer = httpx2.post(front.inside.url + "/admin/keys", json={"name": "anna"}, timeout=30)
    assert answer.status_code < 300, answer.text
    found = [value for value in answer.json().values() if isinstance(value, str)]
    return max(found, key=len)


def wish(text: str) -> dict[str, object]:
    return {"model": "auto", "messages": [{"role": "user", "content": text}], "stream": True}


@asynccontextmanager
async def asked(
    client: httpx2.AsyncClient, key: str, text: str
) -> AsyncIterator[AsyncIterator[str]]:
    headers = {"authorization": f"Bearer {key}"}
    path = "/v1/chat/completions"
    async with client.stream("POST", path, json=wish(text), headers=headers) as response:
        assert response.status_code == 200, await response.aread()
        yield response.aiter_lines()


async def first_token(lines: AsyncIterator[str]) -> str:
    async with asyncio.timeout(60):
        async for line in lines:
            if '"content":"' in line.replace('"content":""', ""):
                return line
    raise AssertionError("the stream ended without a token")


async def test_twenty_streams_get_their_first_token_while_none_has_ended(
    front: Proxied, key: str
) -> None:
    """The engine says one token to each and then nothing: what arrives has not been held back."""
    front.engine.release.clear()
    async with front.client() as client, AsyncExitStack() as open_streams:
        streams = [
            await open_streams.enter_async_context(asked(client, key, "wait"))
            for _ in range(STREAMS)
        ]
        try:
            await asyncio.gather(*(first_token(lines) for lines in streams))
            assert front.engine.running == STREAMS
        finally:
            front.engine.release.set()
        for lines in streams:
            rest = [line async for line in lines]
            assert "data: [DONE]" in rest


async def test_a_reload_cuts_no_stream(front: Proxied, key: str) -> None:
    """As for a new certificate: what runs goes on, what comes is let in."""
    front.engine.release.clear()
    master = int((front.certificate.parent / "nginx.pid").read_text())
    async with front.client() as client, AsyncExitStack() as open_streams:
        streams = [
            await open_streams.enter_async_context(asked(client, key, "wait")) for _ in range(5)
        ]
        try:
            await asyncio.gather(*(first_token(lines) for lines in streams))
            before = {worker.pid for worker in psutil.Process(master).children()}
            os.kill(master, signal.SIGHUP)
            await until(lambda: {w.pid for w in psutil.Process(master).children()} - before)
            async with front.client() as late, asked(late, key, "wait") as lines:
                await first_token(lines)
                front.engine.release.set()
                assert "data: [DONE]" in [line async for line in lines]
        finally:
            front.engine.release.set()
        for lines in streams:
            assert "data: [DONE]" in [line async for line in lines]


async def test_the_ledger_knows_the_clients_own_address(front: Proxied, key: str) -> None:
    """And not one that a client has made up."""
    forged = {"x-forwarded-for": "203.0.113.9", "x-real-ip": "203.0.113.9"}
    headers = {"authorization": f"Bearer {key}", **forged}
    async with front.client("127.0.0.2") as client:
        answer = await client.get("/v1/models", headers=headers)
    assert answer.status_code == 200
    seen = (answer.headers["x-request-id"],)

    def addresses() -> list[tuple[str]]:
        with closing(sqlite3.connect(front.inside.data_dir / "appliance.db")) as ledger:
            return ledger.execute("select client_ip from request where id = ?", seen).fetchall()

    await until(addresses)
    assert addresses() == [("127.0.0.2",)]


async def test_nobody_is_the_owner_through_the_proxy(front: Proxied) -> None:
    async with front.client() as client:
        assert (await client.get("/v1/models")).status_code == 401
        assert (await client.get("/admin/requests")).status_code == 401
        assert (await client.get("/metrics")).status_code == 404


async def test_who_leaves_frees_the_engine(front: Proxied, key: str) -> None:
    front.engine.release.clear()
    front.engine.left.clear()
    async with front.client() as client, asked(client, key, "wait") as lines:
        await first_token(lines)
    await until(front.engine.left.is_set)
    await until(lambda: front.engine.running == 0)


async def test_bodies_have_a_limit(front: Proxied, key: str) -> None:
    """Said before the body is sent: the client promises more than is allowed."""
    context = ssl.create_default_context(cafile=str(front.certificate))
    port = int(front.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
    promise = f"content-length: {64 * 1024 * 1024}\r\nauthorization: Bearer {key}\r\n"
    writer.write(f"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\n{promise}\r\n".encode())
    assert (await asyncio.wait_for(reader.readline(), 30)).split()[1] == b"413"
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def test_plain_http_is_sent_to_https(front: Proxied) -> None:
    async with httpx2.AsyncClient() as client:
        answer = await client.get(front.plain_url + "/history?page=2")
    assert answer.status_code == 308
    assert answer.headers["location"] == "https://127.0.0.1/history?page=2"
