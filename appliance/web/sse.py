"""Server-sent events as htmx's extension reads them: named events with HTML in them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from anyio import CancelScope
from starlette.requests import Request
from starlette.responses import StreamingResponse

PING_SECONDS = 15.0
PING = ": ping\n\n"
HEADERS = {
    "Cache-Control": "no-store",
    # nginx would hold the stream back until its buffer is full.
    "X-Accel-Buffering": "no",
}


def wants_once(request: Request) -> bool:
    """True when only what stands now is asked for: of a browser that has no connection to spare."""
    return "once" in request.query_params


def event(name: str, data: str) -> str:
    """One event. Every line of `data` gets its own field, whatever ends the line."""
    lines = data.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return f"event: {name}\n" + "".join(f"data: {line}\n" for line in lines) + "\n"


def event_stream(events: AsyncGenerator[str, None]) -> StreamingResponse:
    """A response of events, with a comment each 15 s so that nobody thinks it dead."""
    return StreamingResponse(with_pings(events), media_type="text/event-stream", headers=HEADERS)


async def with_pings(
    events: AsyncGenerator[str, None], seconds: float = PING_SECONDS
) -> AsyncIterator[str]:
    """The events, and a comment whenever `seconds` pass without one."""
    async with aclosing(events):
        while True:
            coming = asyncio.ensure_future(anext(events))
            try:
                while not (await asyncio.wait({coming}, timeout=seconds))[0]:
                    yield PING
                yield coming.result()
            except StopAsyncIteration:
                return
            finally:
                await _cancelled(coming)


async def _cancelled(task: asyncio.Future[str]) -> None:
    """A generator can only be closed once it runs no more, also while we are cancelled."""
    task.cancel()
    with CancelScope(shield=True):
        await asyncio.wait({task})
