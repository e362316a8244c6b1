"""The wiring of routes and of the app's life; `parts` makes what they are wired to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial

from fastapi import FastAPI

from appliance import VERSION
from appliance.api import admin, docs, errors, feedback, metrics
from appliance.doors import doors
from appliance.engine.client import EngineClient
from appliance.engine.status import Engine
from appliance.fit.plan import Plan
from appliance.folder import DataFolder
from appliance.gateway.elsewhere import Elsewhere
from appliance.gateway.energy import EnergyMeter, card_counter
from appliance.gateway.http import Recording
from appliance.lan.network import Network
from appliance.ledger.history import History
from appliance.ledger.queries import Queries
from appliance.pages import web_parts
from appliance.parts import Parts, make_parts, retention
from appliance.service import NO_TELEMETRY, add_routes, in_service, recorded, serve_api
from appliance.settings import Settings
from appliance.web.app import mount_pages, mount_static
from appliance.web.error_pages import http_error_page
from appliance.web.rendering import put_together

DESCRIPTION = "An AI appliance: Qwen3 on your own card, with keys, a fair queue and a ledger."
Watcher = Callable[[Engine], Awaitable[None]]
Beside = Callable[[Parts, EnergyMeter], AbstractAsyncContextManager[None]]


def create_app(
    settings: Settings,
    folder: DataFolder,
    plan: Plan,
    engine: Engine,
    watchers: Sequence[Watcher] = (),
    network: Network | None = None,
    beside: Beside = lambda _parts, _energy: contextlib.nullcontext(),
) -> Recording:
    """The whole appliance as an ASGI app. `watchers` follow the engine while the app runs;
    `network` knows where it is reached. `beside` is entered while the app runs and left before its
    parts are closed.

    The folder is open; the database is brought to the newest schema here. The engine is started
    and stopped with the app; it may already run.
    """
    energy = EnergyMeter(card_counter(plan.gpu.uuid) if plan.gpu else None)
    parts = make_parts(settings, engine, places=plan.max_concurrency, energy=energy)
    parts.database.migrate(copies=settings.data_dir, copying=not settings.no_update_copy)
    app = FastAPI(
        title="Appliance",
        version=VERSION,
        description=DESCRIPTION,
        lifespan=partial(_lifespan, parts, settings, watchers, partial(beside, parts, energy)),
        telemetry=NO_TELEMETRY,
        docs_url=None,
        redoc_url=None,
    )
    signing = parts.shared.signing if parts.shared else None
    entrance = doors(settings, folder, network, parts.tries, signing)
    named = entrance.named(parts.keys, require_key=settings.require_key)
    api = serve_api(app, parts, named)
    queries = Queries(parts.database, parts.writer)
    history = History(parts.database, parts.writer)
    keep = settings.log_content == "full"
    revocations = parts.gateway.revocations
    elsewhere = Elsewhere(EngineClient(parts.http), parts.recorder, revocations, keep_content=keep)
    add_routes(app, admin.router(api, parts.keys, queries, history, elsewhere, parts.queue))
    add_routes(app, feedback.router(api, queries, history))
    add_routes(app, docs.router())
    add_routes(app, metrics.router(api, parts.monitor.page, settings.metrics_token))
    web = web_parts(settings, plan, parts, queries, history, elsewhere, named, entrance)
    mount_pages(app, web)
    errors.install(app, http_error_page(web))
    mount_static(app)
    return recorded(app, settings, parts, parts.recorder, named)


@contextlib.asynccontextmanager
async def _lifespan(
    parts: Parts,
    settings: Settings,
    watchers: Sequence[Watcher],
    beside: Callable[[], AbstractAsyncContextManager[None]],
    app: FastAPI,
) -> AsyncIterator[None]:
    parts.recorder.mark_interrupted()
    async with in_service(parts):
        tasks = [asyncio.ensure_future(watch(parts.engine)) for watch in watchers]
        tasks.append(asyncio.create_task(retention(settings, parts).run()))
        tasks.append(asyncio.create_task(put_together()))
        if parts.shared is not None:
            tasks.append(asyncio.create_task(parts.shared.fronts.run()))
            tasks.append(asyncio.create_task(parts.shared.signing.run()))
            tasks.append(asyncio.create_task(parts.runs.heed()))
        await parts.engine.start()
        try:
            async with beside():
                yield
        finally:
            await parts.runs.close()
            await parts.engine.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
