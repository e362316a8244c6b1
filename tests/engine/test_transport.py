"""HTTP at its edges: a raw server that says exactly these bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import httpx2
import pytest

from appliance.engine.posting import http_client
from appliance.engine.transport import MAX_WAITING_BYTES
from tests.live import free_port
from tests.waiting import until

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Both loops that the front may run on: their transports differ at the edges."""
    if request.param:
        pytest.importorskip("uvloop")
    return "asyncio", {"use_uvloop": request.param}


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@asynccontextmanager
async def server(talk: Talk) -> AsyncIterator[str]:
    """Calls `talk` with each connection, after the head of its request has come."""
    tasks: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await talk(reader, writer)
        finally:
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.create_task(serve(reader, writer)))

    listening = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def saying(*words: bytes) -> AsyncIterator[str]:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for word in words:
            writer.write(word)
            await writer.drain()

    async with server(talk) as url:
        yield url


async def get(url: str, silence: float = 20) -> httpx2.Response:
    async with http_client(silence) as http:
        return await http.get(url)


@pytest.mark.parametrize(
    "words",
    [
        [b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"],
        [CHUNKED, b"2\r\nhe\r\n", b"3\r\nllo\r\n", b"0\r\n\r\n"],
        [b"HTTP/1.0 200 OK\r\n\r\n", b"hello"],
        [b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"],
    ],
    ids=["length", "chunked", "until closed", "informational"],
)
async def test_a_body_in_each_of_its_forms(words: list[bytes]) -> None:
    async with saying(*words) as url:
        answer = await get(url)
    assert (answer.status_code, answer.text) == (200, "hello")


async def test_an_empty_answer_has_headers() -> None:
    async with saying(b"HTTP/1.1 204 No Content\r\nX-Generation-Id: a\r\n\r\n") as url:
        answer = await get(url)
    assert (answer.status_code, answer.headers["x-generation-id"]) == (204, "a")


@pytest.mark.parametrize(
    "words",
    [
        [],
        [b"HTTP/1.1 200 OK\r\ncontent-le"],
        [b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello"],
        [CHUNKED, b"5\r\nhel"],
        [CHUNKED, b"not a number\r\n"],
        [b"SSH-2.0-OpenSSH_9.6\r\n"],
        [b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000],
    ],
    ids=[
        "nothing",
        "half a head",
        "half a body",
        "half a chunk",
        "no chunk",
        "ssh",
        "endless head",
    ],
)
async def test_what_is_cut_or_no_http_is_an_error(words: list[bytes]) -> None:
    async with saying(*words) as url:
        with pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError)):
            await get(url)


async def test_what_came_before_the_cut_is_read() -> None:
    async with saying(CHUNKED, b"5\r\nhello\r\n") as url, http_client() as http:
        seen: list[bytes] = []
        async with http.stream("GET", url) as answer:
            with pytest.raises(httpx2.RemoteProtocolError):
                await _read_into(seen, answer)
    assert b"".join(seen) == b"hello"


async def _read_into(seen: list[bytes], answer: httpx2.Response) -> None:
    async for data in answer.aiter_bytes():
        seen.append(data)  # noqa: PERF401 - a list made at once would be lost


async def test_nobody_there_is_a_connect_error() -> None:
    with pytest.raises(httpx2.ConnectError):
        await get(f"http://127.0.0.1:{free_port()}/")


@pytest.mark.parametrize("words", [[], [CHUNKED, b"5\r\nhello\r\n"]], ids=["mute", "stuck"])
async def test_silence_has_an_end(words: list[bytes]) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.writelines(words)
        await asyncio.Event().wait()

    async with server(talk) as url:
        with pytest.raises(httpx2.ReadTimeout):
            await get(url, silence=0.2)


async def test_closing_reaches_the_server_at_once() -> None:
    left = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED + b"5\r\nhello\r\n")
        with suppress(ConnectionError):
            await reader.read()
        left.set()

    async with server(talk) as url, http_client() as http:
        async with http.stream("GET", url) as answer:
            assert await anext(answer.aiter_bytes()) == b"hello"
            assert not left.is_set()
        await until(left.is_set)
        assert answer.is_closed


async def test_a_cancelled_request_closes_its_connection() -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        left.set()

    async with server(talk) as url:
        task = asyncio.create_task(get(url))
        await until(asked.is_set)
        assert not left.is_set()
        task.cancel()
        await until(left.is_set)
        await asyncio.wait({task})
    assert task.cancelled()


async def test_a_slow_reader_holds_the_server_back() -> None:
    """Nothing is lost, and what waits here stays small however much the server has to say."""
    sent = 0
    block, blocks = b"x" * 65_536, 400

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(blocks):
            writer.write(block)
            await writer.drain()
            sent += len(block)

    async with server(talk) as url, http_client() as http, http.stream("GET", url) as answer:
        data = answer.aiter_bytes()
        first = await anext(data)
        held = -1
        while held != sent:
            held = sent
            for _ in range(200):
                await asyncio.sleep(0)
        assert sent < len(block) * blocks
        rest = [len(each) async for each in data]
    assert len(first) + sum(rest) == len(block) * blocks
    assert max(rest) < MAX_WAITING_BYTES * 4


async def test_a_key_cannot_break_out_of_its_header() -> None:
    async with saying() as url, http_client() as http:
        with pytest.raises(httpx2.LocalProtocolError):
            await http.get(url, headers={"authorization": "Bearer x\r\nhost: evil"})


async def test_a_reader_may_come_long_after_the_server_has_gone() -> None:
    gone = asyncio.Event()
    size = MAX_WAITING_BYTES + 100_000

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * size)
        writer.close()
        gone.set()

    async with server(talk) as url, http_client() as http, http.stream("GET", url) as answer:
        await until(gone.is_set)
        assert len(await answer.aread()) == size
