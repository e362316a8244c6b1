"""The client that measurements are taken with, against servers whose answers are known."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bench import upstream
from bench.streams import HttpServer, fresh_prompts

pytestmark = pytest.mark.anyio

GAP_S = 0.01


class Known(HttpServer):
    name = "the scripted one"

    def __init__(self, port: int) -> None:
        self.port = port


@asynccontextmanager
async def scripted(gap: float) -> AsyncIterator[Known]:
    server = await upstream.listen(gap)
    async with server:
        yield Known(server.sockets[0].getsockname()[1])


@asynccontextmanager
async def saying(body: bytes) -> AsyncIterator[Known]:
    """A server that says `body` to whatever it is asked, and hangs up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield Known(server.sockets[0].getsockname()[1])


async def test_an_answer_is_counted_timed_and_read() -> None:
    moments: list[float] = []
    async with scripted(GAP_S) as server:
        answer = await server.stream("hello", 5, moments.append)
    assert answer.tokens == 5
    assert answer.text == " word" * 5
    assert moments[-1] - moments[0] > 3 * GAP_S
    assert 0 < answer.first_token_seconds < moments[-1] - moments[0] + GAP_S


async def test_a_run_is_all_streams_at_once() -> None:
    async with scripted(GAP_S) as server:
        run = await asyncio.to_thread(server.run, fresh_prompts(4), 10)
    assert run.tokens == 40
    assert run.speed == 40 / run.seconds
    assert run.seconds > 8 * GAP_S
    assert run.speed < 4 / GAP_S * 1.2  # four streams and not one of them faster than scripted


async def test_the_first_piece_of_text_counts_and_not_the_first_event() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 200 OK\r\n\r\ndata: {"choices": [{"text": ""}]}\n\n')
        await asyncio.sleep(3 * GAP_S)
        writer.write(b'data: {"choices": [{"text": "x"}], "usage": {"completion_tokens": 1}}\n\n')
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        seen = await Known(server.sockets[0].getsockname()[1]).stream("hello", 1)
    assert seen.first_token_seconds >= 3 * GAP_S


async def test_cached_tokens_are_read_where_they_are_told() -> None:
    usage = b'{"completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 64}}'
    async with saying(b'data: {"choices": [], "usage": ' + usage + b"}\n\n") as server:
        assert (await server.stream("hello", 1)).cached_tokens == 64


async def test_an_answer_that_breaks_off_is_no_figure() -> None:
    async with saying(b'data: {"error": "out of memory"}\n\n') as server:
        with pytest.raises(RuntimeError, match=r"(?s)broke off.*out of memory"):
            await server.stream("hello", 1)


async def test_the_longest_gap_is_looked_for_while_the_other_prompt_is_read() -> None:
    async with scripted(0.001) as server:
        stall = await server.stall(10)
    assert 0 < stall.usual < 0.1
    assert 0 <= stall.longest <= stall.reading


def test_no_two_prompts_begin_alike() -> None:
    assert len({prompt[:6] for prompt in fresh_prompts(16)}) == 16
