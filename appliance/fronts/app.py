"""What a further front serves: the API's dialects itself, and all else by the first front."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from fastapi import FastAPI, Request
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from appliance.api import errors
from appliance.engine.status import Engine
from appliance.fronts.lines import BEAT_SECONDS, Order, Tell
from appliance.fronts.relay import Relay
from appliance.gateway.energy import Meter
from appliance.gateway.http import identify
from appliance.gateway.identity import Caller, Identity
from appliance.ledger.recorder import Recorder
from appliance.ledger.writer import Writer
from appliance.monitor import read_ledger
from appliance.observability.metrics import Metrics
from appliance.observability.readings import LedgerReading
from appliance.observability.seen import GenerationSeen, RequestSeen
from appliance.parts import Parts, make_parts
from appliance.service import NO_TELEMETRY, in_service, recorded, serve_api
from appliance.web.session import SESSION_COOKIE


def create_front(order: Order, engine: Engine, energy: Meter, tell: Tell) -> ASGIApp:
    """The ASGI app of one further front."""
    settings = order.settings
    metrics = ToldMetrics(tell)
    parts = make_parts(settings, engine, places=order.places, energy=energy, metrics=metrics)
    relay = Relay(order.channel, order.secret)
    identity = Identity(parts.keys, require_key=settings.require_key, tries=parts.tries)

    async def named(request: Request) -> Caller:
        return await identify(identity, request)

    life = partial(_lifespan, parts, relay, tell)
    app = FastAPI(openapi_url=None, lifespan=life, telemetry=NO_TELEMETRY)
    serve_api(app, parts, named)
    errors.install(app)
    told = ToldRecorder(parts.writer, parts.recorder.front, tell)
    own = recorded(app, settings, parts, told, named)
    return Switch(app, own, relay)


class Switch:
    """Whatever `app` has a route for is answered by `own`, which leads to it; the rest is relayed.

    So is what carries a browser's session, whose secrets change in the first front.
    """

    def __init__(self, app: FastAPI, own: ASGIApp, relay: ASGIApp) -> None:
        self._routes = list(app.router.routes)
        self._own = own
        self._relay = relay

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        ours = scope["type"] != "http" or (self._has_route(scope) and not _has_session(scope))
        await (self._own if ours else self._relay)(scope, receive, send)

    def _has_route(self, scope: Scope) -> bool:
        return any(route.matches(scope)[0] is Match.FULL for route in self._routes)


class ToldMetrics(Metrics):
    """Tallies nothing: the first front counts for all."""

    def __init__(self, tell: Tell) -> None:
        super().__init__()
        self._tell = tell

    def generation(self, seen: GenerationSeen) -> None:
        self._tell(generation=seen)

    def request(self, seen: RequestSeen) -> None:
        self._tell(request=seen)


class ToldRecorder(Recorder):
    """Tells which rows are open, so that the first front can close them should this one die."""

    def __init__(self, writer: Writer, front: str | None, tell: Tell) -> None:
        super().__init__(writer, front)
        self._tell = tell

    def open_request(self, **row: Any) -> None:
        self._tell(opened=row["id"])
        super().open_request(**row)

    def close_request(self, id: str, **row: Any) -> None:  # noqa: A002 - as the column is called
        super().close_request(id, **row)
        self._tell(closed=id)


@contextlib.asynccontextmanager
async def _lifespan(parts: Parts, relay: Relay, tell: Tell, app: FastAPI) -> AsyncIterator[None]:
    async with in_service(parts):
        telling = asyncio.create_task(_beat(parts.writer, tell))
        try:
            yield
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
            await relay.close()


async def _beat(writer: Writer, tell: Tell) -> None:
    """Says that the event loop turns, and what has become of the ledger."""
    told = LedgerReading()
    while True:
        tell(beat=True)
        if (now := read_ledger(writer)) != told:
            tell(ledger=now)
            told = now
        await asyncio.sleep(BEAT_SECONDS)


def _has_session(scope: Scope) -> bool:
    wanted = SESSION_COOKIE.encode()
    return any(name == b"cookie" and wanted in value for name, value in scope["headers"])
