"""Streams that begin while their request still waits in the queue, and say how long it may take."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from fastapi import Request
from fastapi.responses import Response

from appliance.api.caching import cache_header
from appliance.api.streams import (
    Encoder,
    EventStream,
    data,
    disconnected,
    encoded,
    first_of,
    under_way,
)
from appliance.domain import Admitted, Event
from appliance.errors import ApplianceError
from appliance.gateway.hall import Place
from appliance.gateway.http import record_of

# Who waits no longer than this is not told of it, and so keeps the status code of a refusal.
PATIENCE_SECONDS = 1.0
NEWS_SECONDS = 1.0


async def streamed(
    request: Request,
    events: AsyncGenerator[Event, None],
    encoder: Callable[[Admitted], Encoder],
    error_event: Callable[[ApplianceError], object],
    place: Callable[[], Place | None],
) -> Response:
    """The answer as SSE. A refusal is raised while it still has a status code.

    Whoever has to wait in the queue gets the stream at once, with comments on where `place` says
    that they stand; what is refused after that is an error event.
    """
    opening = asyncio.ensure_future(anext(events))
    try:
        if await _decided(request, opening, place):
            first = _admitted(opening.result())
            chunks = encoded(request, events, encoder(first), error_event)
            return EventStream(chunks, cache_header(first))
    except BaseException:
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        raise
    return EventStream(_from_the_queue(request, events, opening, encoder, error_event, place))


async def _decided(
    request: Request, opening: asyncio.Future[Event], place: Callable[[], Place | None]
) -> bool:
    """True once it is admitted or refused, False once it has waited in the queue for a while.

    Raises ClientLeft.
    """
    async with under_way(disconnected(request.receive)) as gone:
        while not await first_of(opening, gone, PATIENCE_SECONDS):
            if place() is not None:
                return False
    return True


async def _from_the_queue(
    request: Request,
    events: AsyncGenerator[Event, None],
    opening: asyncio.Future[Event],
    encoder: Callable[[Admitted], Encoder],
    error_event: Callable[[ApplianceError], object],
    place: Callable[[], Place | None],
) -> AsyncGenerator[bytes, None]:
    """Comments while it waits, as often as there is news, then the answer."""
    try:
        async for comment in _news(opening, place):
            yield comment
        chunks = encoded(request, events, encoder(_admitted(opening.result())), error_event)
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk
    except ApplianceError as error:
        record_of(request).error = str(error)
        yield data(error_event(error))
    finally:
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)


async def _news(
    opening: asyncio.Future[Event], place: Callable[[], Place | None]
) -> AsyncGenerator[bytes, None]:
    told = b""
    while not opening.done():
        if (news := _queued(place())) != told:
            yield news
            told = news
        await asyncio.wait({opening}, timeout=NEWS_SECONDS)


def _queued(place: Place | None) -> bytes:
    """`: queued 3, about 12 s`; a comment, which clients pass over."""
    if place is None:
        return b""
    about = "" if place.seconds is None else f", about {math.ceil(place.seconds)} s"
    return f": queued {place.position}{about}\n\n".encode()


def _admitted(first: Event) -> Admitted:
    if not isinstance(first, Admitted):
        raise TypeError(f"the gateway began with {first!r}")
    return first
