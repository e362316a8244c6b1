"""What every front does, the first and further ones: the API's dialects, and life beside them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from fastapi import APIRouter, FastAPI, Request
from fastapi.telemetry import TelemetryConfig

from appliance import VERSION
from appliance.api import completions, errors, generate, health, models, tokenize
from appliance.api.parts import ApiParts
from appliance.engine.client import EngineClient
from appliance.gateway.bodies import BoundedBodies
from appliance.gateway.hosts import OneHost
from appliance.gateway.http import Recording
from appliance.gateway.identity import Caller
from appliance.ledger.recorder import Recorder
from appliance.parts import Parts
from appliance.settings import Settings
from appliance.web.security import SecureHeaders

# FastAPI would trace and measure by itself, and tell whoever the environment names. What leaves the
# house is said by `--otlp-endpoint` alone.
NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "auto_configure": False,
}
DIALECTS = (generate, completions, models, tokenize, health)


def serve_api(
    app: FastAPI, parts: Parts, named: Callable[[Request], Awaitable[Caller]]
) -> ApiParts:
    """Gives the app the routes that need nothing but these parts. `named` names the caller."""
    api = ApiParts(
        gateway=parts.gateway,
        engine=parts.engine,
        client=EngineClient(parts.http),
        identify=named,
        version=VERSION,
    )
    for dialect in DIALECTS:
        add_routes(app, dialect.router(api))
    return api


def add_routes(app: FastAPI, routes: APIRouter) -> None:
    """As they are: `include_router` would work out every one of them a second time."""
    app.router.routes.extend(routes.routes)


def recorded(
    app: FastAPI,
    settings: Settings,
    parts: Parts,
    recorder: Recorder,
    named: Callable[[Request], Awaitable[Caller]],
) -> Recording:
    """Outside of everything, so that a failure of the framework itself has an id and a row too."""
    bounded = OneHost(BoundedBodies(app, know=named), refuse=errors.appliance_error)
    return Recording(
        SecureHeaders(bounded, hsts_days=settings.hsts_days),
        ledger=recorder,
        watch=parts.monitor.request,
        allowances=parts.gateway.allowances,
        traced=settings.otlp_endpoint is not None,
    )


@contextlib.asynccontextmanager
async def in_service(parts: Parts) -> AsyncIterator[None]:
    """Inside, the queue has the engine's size and revoked keys end what they had under way; after
    it, the parts are closed."""
    tasks = [
        asyncio.create_task(_size_queue(parts)),
        asyncio.create_task(parts.gateway.keep()),
        asyncio.create_task(parts.gateway.revocations.watch(parts.keys)),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await parts.monitor.close()
        await parts.http.aclose()
        if parts.redis is not None:
            await parts.redis.close()
        parts.writer.close()
        parts.database.close()


async def _size_queue(parts: Parts) -> None:
    """As many places as the engine that is loaded now can serve at once."""
    async for status in parts.engine.changes():
        if status.facts is not None:
            parts.queue.resize(status.facts.max_concurrency)
