from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from appliance.web.sse import PING, event, with_pings

pytestmark = pytest.mark.anyio


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
    async for piece in with_pings(slow(), seconds=0.001):
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
        async for _ in with_pings(endless()):
            pass

    reader = asyncio.create_task(read())
    await asyncio.wait_for(waiting.wait(), 5)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert closed.is_set()
