"""Answers on their way to a client that may leave: streamed or whole, cancelled when it does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Protocol, TypeVar

import anyio
from fastapi import Request
from fastapi.responses import Response
from pydantic_core import to_json
from starlette.types import Receive, Scope, Send

from appliance.domain import Event
from appliance.errors import ApplianceError
from appliance.gateway.http import record_of

T = TypeVar("T")

PING_SECONDS = 15.0


class ClientLeft(Exception):
    """Nobody is waiting for the answer any more."""


class Encoder(Protocol):
    """One answer in a dialect's words. What it returns are whole SSE events, or nothing."""

    def start(self) -> bytes: ...

    def encode(self, event: Event) -> bytes: ...


async def while_connected(request: Request, work: Awaitable[T]) -> T:
    """Do `work` unless the client leaves first: then cancel it and raise ClientLeft."""
    task = asyncio.ensure_future(work)
    watcher = asyncio.ensure_future(_disconnected(request.receive))
    try:
        await asyncio.wait({task, watcher}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientLeft
    finally:
        watcher.cancel()
        task.cancel()
        await asyncio.gather(task, watcher, return_exceptions=True)


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
        self._sent = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._events), anyio.create_task_group() as group:

            async def leave() -> None:
                await _disconnected(receive)
                # Servers report a disconnect after the last byte too.
                if not self._sent:
                    scope["state"]["record"].error = "the client left"
                group.cancel_scope.cancel()

            group.start_soon(leave)
            group.start_soon(_ping, send)
            await self._send_all(send)
            group.cancel_scope.cancel()

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
        self._sent = True
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


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _ping(send: Send) -> None:
    """Keep proxies from giving up on a quiet stream. A comment, which no client sees."""
    while True:
        await anyio.sleep(PING_SECONDS)
        await send({"type": "http.response.body", "body": b": ping\n\n", "more_body": True})
