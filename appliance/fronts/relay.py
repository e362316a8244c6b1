"""A further front's way to the first one: requests go there as they came, answers come back so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx2
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from appliance.api.errors import problem
from appliance.fronts.ticket import NAME, NO_HOST, onwards, ticket

CONNECT_SECONDS = 5.0
# Shorter than the first front keeps a connection, or one would be closed as it is used again.
KEPT_SECONDS = 20.0
# `expect` has been answered here, and nobody else makes tickets.
NOT_SENT = (b"expect", NAME)


class ClientLeft(Exception):
    """Nobody waits for the answer."""


class Relay:
    """An ASGI app that streams both ways. `close` it at the end."""

    def __init__(self, channel: str, secret: str) -> None:
        limits = httpx2.Limits(
            max_connections=None, max_keepalive_connections=64, keepalive_expiry=KEPT_SECONDS
        )
        self._transport = httpx2.AsyncHTTPTransport(uds=channel, limits=limits)
        self._secret = secret

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        upload = _Upload(receive, has_body(scope))
        work = asyncio.ensure_future(self._exchange(scope, upload, send))
        watch = asyncio.ensure_future(upload.client_left())
        try:
            await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
            if work.done() and not isinstance(work.exception(), ClientLeft):
                work.result()
        finally:
            watch.cancel()
            work.cancel()
            await asyncio.gather(work, watch, return_exceptions=True)

    async def close(self) -> None:
        await self._transport.aclose()

    async def _exchange(self, scope: Scope, upload: _Upload, send: Send) -> None:
        try:
            response = await self._transport.handle_async_request(self._request(scope, upload))
        except httpx2.TransportError as error:
            await _refusal(error)(scope, upload.receive, send)
            return
        try:
            head = {"status": response.status_code, "headers": onwards(_lower(response))}
            await send({"type": "http.response.start", **head})
            async for chunk in response.aiter_raw():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            await response.aclose()

    def _request(self, scope: Scope, upload: _Upload) -> httpx2.Request:
        target = scope["raw_path"]
        if query := scope["query_string"]:
            target += b"?" + query
        headers = onwards(scope["headers"], *NOT_SENT)
        if b"host" not in dict(headers):
            headers.append(NO_HOST)
        return httpx2.Request(
            scope["method"],
            "http://front",
            headers=[*headers, ticket(scope, self._secret)],
            content=upload if upload.has_body else None,
            # The address goes on byte for byte: what is signed or quoted in it is not ours.
            extensions={"target": target, "timeout": {"connect": CONNECT_SECONDS}},
        )


class _Upload:
    """A request's body as it comes, and the client's leaving after it."""

    def __init__(self, receive: Receive, has_body: bool) -> None:
        self.receive = receive
        self.has_body = has_body
        self._sent = asyncio.Event()
        if not has_body:
            self._sent.set()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientLeft
            more = message.get("more_body", False)
            if body := message.get("body", b""):
                yield body
        self._sent.set()

    async def client_left(self) -> None:
        await self._sent.wait()
        while (await self.receive())["type"] != "http.disconnect":
            pass


def _refusal(error: httpx2.TransportError) -> Response:
    if isinstance(error, httpx2.LocalProtocolError):
        return problem(400, "Bad request", "The request is not HTTP/1.1 as the standard has it.")
    return problem(503, "Not ready", "The appliance is being stopped. Please try again shortly.")


def has_body(scope: Scope) -> bool:
    names = dict(scope["headers"])
    return b"transfer-encoding" in names or names.get(b"content-length", b"0") != b"0"


def _lower(response: httpx2.Response) -> list[tuple[bytes, bytes]]:
    return [(name.lower(), value) for name, value in response.headers.raw]
