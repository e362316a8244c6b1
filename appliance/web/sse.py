"""Server-sent events as htmx's extension reads them: named events with HTML in them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import aclosing
from typing import Any

from anyio import CancelScope
from starlette.requests import Request
from starlette.responses import StreamingResponse

from appliance.errors import ApplianceError
from appliance.web.page import Page

PING_SECONDS = 15.0
# Two looks and some slowness fit into the second in which revoking takes hold.
LOOK_EVERY_SECONDS = 0.4
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


def event_stream(page: Page, events: AsyncGenerator[str, None]) -> StreamingResponse:
    """A response of events for as long as the reader's key holds, with a comment each 15 s so that
    nobody thinks it dead."""
    told = with_pings(events, until=stranger(page))
    return StreamingResponse(told, media_type="text/event-stream", headers=HEADERS)


async def stranger(page: Page, every: float = LOOK_EVERY_SECONDS) -> None:
    """Returns once the reader may no longer what they might at first: their key was revoked or
    changed, or has expired, or their browser was signed out."""
    with contextlib.suppress(ApplianceError):
        while await page.parts.identify(page.request) == page.caller:  # noqa: ASYNC110 - no event
            await asyncio.sleep(every)


async def with_pings(
    events: AsyncGenerator[str, None], *, until: Awaitable[None], seconds: float = PING_SECONDS
) -> AsyncIterator[str]:
    """The events, at most until `until` returns; a comment whenever `seconds` pass without one."""
    over = asyncio.ensure_future(until)
    try:
        async with aclosing(events):
            while not over.done():
                coming = asyncio.ensure_future(anext(events))
                try:
                    while not await _one_of(coming, over, seconds):
                        yield PING
                    if coming.done():
                        yield coming.result()
                except StopAsyncIteration:
                    return
                finally:
                    await _cancelled(coming)
        over.result()
    finally:
        await _cancelled(over)


async def _one_of(one: asyncio.Future[Any], other: asyncio.Future[Any], seconds: float) -> bool:
    """Whether one of them is done after so long at most."""
    first = asyncio.FIRST_COMPLETED
    return bool((await asyncio.wait({one, other}, timeout=seconds, return_when=first))[0])


async def _cancelled(task: asyncio.Future[Any]) -> None:
    """A generator can only be closed once it runs no more, also while we are cancelled."""
    task.cancel()
    with CancelScope(shield=True):
        await asyncio.wait({task})
