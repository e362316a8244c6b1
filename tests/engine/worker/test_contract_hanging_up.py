"""What every engine promises to those who stay when others hang up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from tests.engine.worker.conftest import CONCURRENCY
from tests.engine.worker.running import answered
from tests.waiting import until

pytestmark = pytest.mark.anyio

TEXT = "/v1/completions"
BOUND_SECONDS = 60


async def ask(client: httpx2.AsyncClient, max_tokens: int) -> dict[str, Any]:
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    wish = {"messages": messages, "temperature": 0, "max_tokens": max_tokens}
    return await answered(client, "/v1/chat/completions", wish)


class LongAnswer:
    """An answer of hundreds of tokens, read as it comes: whether it goes on can be told."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = 0
        self._reading = asyncio.create_task(self._read(lines))

    async def _read(self, lines: AsyncIterator[str]) -> None:
        async for _ in lines:
            self._lines += 1

    @property
    def goes_on(self) -> bool:
        return not self._reading.done()

    async def more(self, count: int) -> None:
        wanted = self._lines + count
        await until(lambda: self._lines >= wanted, BOUND_SECONDS)

    async def close(self) -> None:
        self._reading.cancel()
        await asyncio.wait({self._reading})


@asynccontextmanager
async def long_answer(client: httpx2.AsyncClient) -> AsyncIterator[LongAnswer]:
    """From its first token on. Hangs up at the end."""
    body = {"prompt": "la la la la la", "temperature": 0, "max_tokens": 900, "stream": True}
    async with client.stream("POST", TEXT, json=body) as response:
        answer = LongAnswer(response.aiter_lines())
        await answer.more(1)
        try:
            yield answer
        finally:
            await answer.close()


async def test_hanging_up_frees_the_place(client: httpx2.AsyncClient) -> None:
    async with long_answer(client) as staying:
        async with long_answer(client):
            waiting = asyncio.ensure_future(ask(client, 2))
            await staying.more(10)
            assert not waiting.done(), f"more than {CONCURRENCY} ran at once"
        await waiting
        assert staying.goes_on, "the place was free only when an answer had ended by itself"


async def test_hanging_up_without_a_stream_frees_the_place(client: httpx2.AsyncClient) -> None:
    body = {"prompt": "la la la la la", "temperature": 0, "max_tokens": 900}
    async with long_answer(client) as staying:
        whole = asyncio.ensure_future(client.post(TEXT, json=body))
        await staying.more(10)
        waiting = asyncio.ensure_future(ask(client, 2))
        await staying.more(10)
        assert not waiting.done()
        assert not whole.done()
        whole.cancel()
        await waiting
        assert staying.goes_on


async def test_hanging_up_while_waiting_leaves_the_line(client: httpx2.AsyncClient) -> None:
    async with long_answer(client) as staying:
        async with long_answer(client):
            waiting = asyncio.ensure_future(ask(client, 900))
            await staying.more(10)
            waiting.cancel()
        answer = await ask(client, 2)
        assert answer["usage"]["completion_tokens"] == 2
        assert staying.goes_on
