"""The wiring of routes and of the app's life; `parts` makes what they are wired to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial

from fastapi import APIRouter, FastAPI

from appliance import VERSION
from appliance.api import (
    admin,
    completions,
    docs,
    errors,
    feedback,
    generate,
    health,
    metrics,
    models,
    tokenize,
)
from appliance.api.parts import ApiParts
from appliance.doors import doors
from appliance.engine.client import EngineClient
from appliance.engine.status import Engine
from appliance.fit.plan import Plan
from appliance.folder import DataFolder
from appliance.gateway.bodies import BoundedBodies
from appliance.gateway.elsewhere import Elsewhere
from appliance.gateway.http import Recording
from appliance.lan.network import Network
from appliance.ledger.history import History
from appliance.ledger.queries import Queries
from appliance.parts import Parts, make_parts, retention, web_parts
from appliance.settings import Settings
from appliance.web.app import mount_pages, mount_static
from appliance.web.page import http_error_page
from appliance.web.security import SecureHeaders

DESCRIPTION = "An AI appliance: Qwen3 on your own card, with keys, a fair queue and a ledger."
Watcher = Callable[[Engine], Awaitable[None]]


def create_app(
    settings: Settings,
    folder: DataFolder,
    plan: Plan,
    engine: Engine,
    watchers: Sequence[Watcher] = (),
    network: Network | None = None,
) -> Recording:
    """The whole appliance as an ASGI app. `watchers` follow the engine while the app runs;
    `network` knows where it is reached.

    The folder is open; the database is brought to the newest schema here. The engine is started
    and stopped with the app; it may already run.
    """
    parts = make_parts(settings, plan, engine)
    app = FastAPI(
        title="Appliance",
        version=VERSION,
        description=DESCRIPTION,
        lifespan=partial(_lifespan, parts, settings, watchers),
        docs_url=None,
        redoc_url=None,
    )
    entrance = doors(settings, folder, network, parts.shared.signing if parts.shared else None)
    named = entrance.named(parts.keys, require_key=settings.require_key)
    api = ApiParts(
        gateway=parts.gateway,
        engine=parts.engine,
        client=EngineClient(parts.http),
        identify=named,
        version=VERSION,
    )
    for dialect in (generate, completions, models, tokenize, health):
        _add(app, dialect.router(api))
    queries = Queries(parts.database, parts.writer)
    history = History(parts.database, parts.writer)
    keep = settings.log_content == "full"
    elsewhere = Elsewhere(EngineClient(parts.http), parts.recorder, keep_content=keep)
    _add(app, admin.router(api, parts.keys, queries, history, elsewhere, parts.queue))
    _add(app, feedback.router(api, queries, history))
    _add(app, docs.router())
    _add(app, metrics.router(api, parts.monitor.page, settings.metrics_token))
    web = web_parts(settings, plan, parts, queries, history, elsewhere, named, entrance)
    mount_pages(app, web)
    errors.install(app, http_error_page(web))
    mount_static(app)
    # Outside of everything, so that a failure of the framework itself has an id and a row too.
    guarded = SecureHeaders(BoundedBodies(app), hsts_days=settings.hsts_days)
    return Recording(
        guarded,
        ledger=parts.recorder,
        watch=parts.monitor.request,
        allowances=parts.gateway.allowances,
        traced=settings.otlp_endpoint is not None,
    )


def _add(app: FastAPI, routes: APIRouter) -> None:
    """As they are: `include_router` would work out every one of them a second time."""
    app.router.routes.extend(routes.routes)


@contextlib.asynccontextmanager
async def _lifespan(
    parts: Parts, settings: Settings, watchers: Sequence[Watcher], app: FastAPI
) -> AsyncIterator[None]:
    parts.recorder.mark_interrupted()
    tasks = [asyncio.ensure_future(watch(parts.engine)) for watch in watchers]
    tasks.append(asyncio.create_task(_size_queue(parts)))
    tasks.append(asyncio.create_task(parts.gateway.keep()))
    tasks.append(asyncio.create_task(parts.gateway.revocations.watch(parts.keys)))
    tasks.append(asyncio.create_task(retention(settings, parts).run()))
    if parts.shared is not None:
        tasks.append(asyncio.create_task(parts.shared.fronts.run()))
        tasks.append(asyncio.create_task(parts.shared.signing.run()))
    await parts.engine.start()
    try:
        yield
    finally:
        await parts.runs.close()
        await parts.monitor.close()
        await parts.engine.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await parts.http.aclose()
        if parts.redis is not None:
            from appliance.gateway import redis_contact

            await redis_contact.close(parts.redis)
        parts.writer.close()
        parts.database.close()


async def _size_queue(parts: Parts) -> None:
    """As many places as the engine that is loaded now can serve at once."""
    async for status in parts.engine.changes():
        if status.facts is not None:
            parts.queue.resize(status.facts.max_concurrency)
