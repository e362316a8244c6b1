"""HTTP/1.1 to an engine nearby, as a transport of httpx2: parsed in C, a connection a request.

httpx2's own transport takes longer over a token than all the rest of its way through the front.
Ours does what an engine client needs and no more: no TLS, no proxy, no pool (an answer that is
over at `[DONE]` leaves its connection in the middle, and connecting to a neighbour is quick).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import httptools
import httpx2

MAX_HEAD_BYTES = 64 * 1024
# A reader that is slower than the engine holds the engine back, not our memory.
MAX_WAITING_BYTES = 256 * 1024


class NearTransport(httpx2.AsyncBaseTransport):
    """For `http://` URLs. Raises httpx2's own errors; its `connect` and `read` timeouts hold."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        limits = request.extensions.get("timeout", {})
        exchange = _Exchange(_written(request, await request.aread()), limits.get("read"))
        try:
            await _connect(exchange, request.url, limits.get("connect"))
            status, headers = await exchange.head
        except BaseException:
            exchange.close()
            raise
        return httpx2.Response(status, headers=headers, stream=_Body(exchange))


class _Body(httpx2.AsyncByteStream):
    def __init__(self, exchange: _Exchange) -> None:
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while data := await self._exchange.read():
            yield data

    async def aclose(self) -> None:
        self._exchange.close()
        await self._exchange.gone.wait()


class _Exchange(asyncio.Protocol):
    """One request and its response. `head` is set or fails; `read` gives what has come since.

    `gone` is set when the connection is closed on our side, which is when the engine can know.
    """

    def __init__(self, request: bytes, silence: float | None) -> None:
        loop = asyncio.get_running_loop()
        self.head: asyncio.Future[tuple[int, list[tuple[bytes, bytes]]]] = loop.create_future()
        self.gone = asyncio.Event()
        self._loop = loop
        self._request = request
        self._silence = silence
        self._heard = loop.time()
        self._watch: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._body: list[bytes] = []
        self._waiting = 0
        self._arrived: asyncio.Future[None] | None = None
        self._over = False
        self._error: httpx2.TransportError | None = None

    async def read(self) -> bytes:
        """The next bytes of the body, all that are there; empty at its end."""
        while not self._body:
            if self._error is not None:
                raise self._error
            if self._over:
                return b""
            self._arrived = self._loop.create_future()
            await self._arrived
        data = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body.clear()
        if self._waiting > MAX_WAITING_BYTES and self._transport is not None:
            self._heard = self._loop.time()
            self._transport.resume_reading()
        self._waiting = 0
        return data

    def close(self) -> None:
        """Whatever is still to come is not wanted; the engine sees that nobody listens."""
        self._end(httpx2.ReadError("closed here"))
        if not self.head.done():
            self.head.cancel()
        elif not self.head.cancelled():
            self.head.exception()  # nobody may be left who asks for it
        if self._transport is not None:
            self._transport.abort()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)
        self._heard = self._loop.time()
        self._listen()

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        if not self.head.done():
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._end(httpx2.RemoteProtocolError(str(error)))
        if self._head_bytes > MAX_HEAD_BYTES and not self.head.done():
            self._end(httpx2.RemoteProtocolError("a head without an end"))

    def connection_lost(self, exc: Exception | None) -> None:
        measured = {name.lower() for name, _ in self._headers} & {
            b"content-length",
            b"transfer-encoding",
        }
        if exc is None and self.head.done() and not measured:
            self._end(None)  # a body that ends with its connection
        self._end(httpx2.RemoteProtocolError("the connection was closed in the middle"))
        self.gone.set()

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # "wait for it": the answer itself follows
            self._headers.clear()
        elif not self.head.done():
            self.head.set_result((status, self._headers))

    def on_body(self, data: bytes) -> None:
        self._body.append(data)
        self._waiting += len(data)
        if self._waiting > MAX_WAITING_BYTES and self._transport is not None:
            self._transport.pause_reading()
        self._wake()

    def on_message_complete(self) -> None:
        if self.head.done():
            self._end(None)

    def _end(self, error: httpx2.TransportError | None) -> None:
        if self._over:
            return
        self._over, self._error = True, error
        if self._watch is not None:
            self._watch.cancel()
        if error is not None and not self.head.done():
            self.head.set_exception(error)
        self._wake()

    def _wake(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    def _listen(self) -> None:
        """Notice silence with one timer for all of the answer, instead of one for each token."""
        if self._silence is None or self._over:
            return
        left = self._heard + self._silence - self._loop.time()
        if self._waiting > MAX_WAITING_BYTES:
            left = self._silence  # it is not the engine that is silent
        if left <= 0:
            self._end(httpx2.ReadTimeout(f"silent for {self._silence} s"))
        else:
            self._watch = self._loop.call_later(left, self._listen)


async def _connect(exchange: _Exchange, url: httpx2.URL, seconds: float | None) -> None:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds):
            await loop.create_connection(lambda: exchange, url.host, url.port or 80)
    except TimeoutError as error:
        raise httpx2.ConnectTimeout(f"no connection after {seconds} s") from error
    except OSError as error:
        raise httpx2.ConnectError(str(error)) from error


def _written(request: httpx2.Request, body: bytes) -> bytes:
    """The request as bytes. Raises LocalProtocolError for a header that would break out of them."""
    lines = [b"%s %s HTTP/1.1" % (request.method.encode("ascii"), request.url.raw_path)]
    for name, value in request.headers.raw:
        if b"\r" in value or b"\n" in value:
            raise httpx2.LocalProtocolError(f"a line break in the header {name.decode()}")
        if name.lower() != b"connection":
            lines.append(name + b": " + value)
    return b"\r\n".join([*lines, b"connection: close", b"", body])
