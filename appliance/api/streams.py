"""Answers on their way to a client that may leave: streamed or whole, cancelled when it does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any, Protocol, TypeVar

from fastapi import Request
from fastapi.responses import Response
from pydantic_core import to_json
from starlette.types import Receive, Scope, Send

from appliance.domain import Event
from appliance.errors import ApplianceError
from appliance.gateway.http import record_of

T = TypeVar("T")

# Keeps proxies from giving up on a quiet stream. A comment, which no client sees.
PING_SECONDS = 15.0
PING = {"type": "http.response.body", "body": b": ping\n\n", "more_body": True}


class ClientLeft(Exception):
    """Nobody is waiting for the answer any more."""


class Encoder(Protocol):
    """One answer in a dialect's words. What it returns are whole SSE events, or nothing."""

    def start(self) -> bytes: ...

    def encode(self, event: Event) -> bytes: ...


async def while_connected(request: Request, work: Awaitable[T]) -> T:
    """Do `work` unless the client leaves first: then cancel it and raise ClientLeft."""
    async with under_way(disconnected(request.receive)) as gone, under_way(work) as task:
        await first_of(task, gone)
        return task.result()


@asynccontextmanager
async def under_way(work: Awaitable[T]) -> AsyncIterator[asyncio.Future[T]]:
    """`work` while the block lasts: if it is not done by then, it is cancelled and waited for."""
    task = asyncio.ensure_future(work)
    try:
        yield task
    finally:
        if task.cancel():
            await asyncio.gather(task, return_exceptions=True)


async def first_of(
    work: asyncio.Future[Any], gone: asyncio.Future[Any], seconds: float | None = None
) -> bool:
    """Whether `work` is done, after at most `seconds`. Raises ClientLeft when `gone` is first."""
    await asyncio.wait({work, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    if gone.done() and not work.done():
        raise ClientLeft
    return work.done()


def data(payload: object) -> bytes:
    """One SSE event with a JSON payload."""
    return b"data: " + to_json(payload) + b"\n\n"


class EventStream(Response):
    """Sends SSE events as they come, a comment while nothing does, and closes `events` at the end.

    Starlette's own streaming response leaves the generator to the garbage collector when the
    client goes away while it is sending; here the place in the engine is free at once.
    """

    media_type = "text/event-stream"

    def __init__(
        self, events: AsyncGenerator[bytes, None], headers: Mapping[str, str] | None = None
    ) -> None:
        fixed = {"cache-control": "no-cache", "x-accel-buffering": "no"}
        super().__init__(headers={**fixed, **(headers or {})})
        del self.headers["content-length"]
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with (
            aclosing(self._events),
            under_way(disconnected(receive)) as gone,
            under_way(self._send_all(send)) as sending,
        ):
            try:
                while not await first_of(sending, gone, PING_SECONDS):
                    await send(PING)
                sending.result()
            except ClientLeft:
                scope["state"]["record"].error = "the client left"

    async def _send_all(self, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        async for chunk in self._events:
            if chunk:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def encoded(
    request: Request,
    events: AsyncGenerator[Event, None],
    encoder: Encoder,
    error_event: Callable[[ApplianceError], object],
) -> AsyncGenerator[bytes, None]:
    """`events`, past their `Admitted`, as SSE; an error is a last event: the status is long gone.

    One generator for all of it: each one between engine and client costs every token.
    """
    try:
        async with aclosing(events):
            yield encoder.start()
            async for event in events:
                yield encoder.encode(event)
    except ApplianceError as error:
        record_of(request).error = str(error)
        yield data(error_event(error))


async def disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
