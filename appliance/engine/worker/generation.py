"""The two generating routes: admit, then answer whole or as a stream, or stop when nobody listens.

Plain ASGI below Starlette's router: a token costs one message, and a caller who hangs up is
noticed at once, whether the answer is streamed or not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

from appliance.engine.worker.delivery import stream, whole
from appliance.engine.worker.engine import Engine
from appliance.engine.worker.job import Job
from appliance.engine.worker.orders import Order
from appliance.errors import EngineUnavailable

_RETRY_SECONDS = 2.0


@dataclass(slots=True)
class Slot:
    """Where the engine will stand once it is loaded."""

    engine: Engine | None = None

    def get(self) -> Engine:
        if self.engine is None:
            raise EngineUnavailable("The model is still loading.", retry_after=_RETRY_SECONDS)
        return self.engine


class Generation:
    """ASGI endpoint of a generating route. `running` has its jobs by the id of their answer."""

    def __init__(
        self,
        slot: Slot,
        order: Callable[[Engine, bytes], Awaitable[Order]],
        running: MutableMapping[str, Job],
    ) -> None:
        self._slot = slot
        self._order = order
        self._running = running

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        engine = self._slot.get()
        body = await _body(receive)
        if body is None:
            return
        order = await self._order(engine, body)
        respond = stream if order.stream else whole
        self._running[order.dialect.id] = order.job
        work = asyncio.ensure_future(respond(engine, order, scope, receive, send))
        gone = asyncio.ensure_future(_hung_up(receive))
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._running[order.dialect.id]
            gone.cancel()
            work.cancel()  # changes nothing when it is done
        try:
            await work
        except asyncio.CancelledError:
            if not gone.done() or gone.cancelled():
                raise


async def _body(receive: Receive) -> bytes | None:
    """The whole body, or None when the caller left before it was sent."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += bytes(message.get("body", b""))
        if not message.get("more_body"):
            return body


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
