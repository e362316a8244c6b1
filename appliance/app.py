"""The wiring: the one file that names concrete parts and how they hang together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

import httpx2
from fastapi import FastAPI, Request

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
from appliance.doors import Doors, doors
from appliance.engine.client import EngineClient, http_client
from appliance.engine.counting import TokenCounter
from appliance.engine.status import Engine
from appliance.fit.catalogue import load_catalogue
from appliance.fit.plan import Plan
from appliance.folder import DataFolder
from appliance.gateway.cache import AnswerCache
from appliance.gateway.elsewhere import Elsewhere
from appliance.gateway.energy import EnergyMeter, card_counter
from appliance.gateway.gateway import Gateway
from appliance.gateway.http import Recording
from appliance.gateway.identity import Caller
from appliance.gateway.limits import RateLimits
from appliance.gateway.queue import FairQueue
from appliance.gateway.store import MemoryStore
from appliance.lan.network import Network
from appliance.ledger.assistants import Assistants
from appliance.ledger.attachments import Attachments
from appliance.ledger.conversations import Conversations
from appliance.ledger.database import Database
from appliance.ledger.drafts import Drafts
from appliance.ledger.history import History
from appliance.ledger.joining import Joining
from appliance.ledger.keys import KeyStore
from appliance.ledger.mine import Mine
from appliance.ledger.queries import Queries
from appliance.ledger.recorder import Recorder
from appliance.ledger.retention import Keep, Retention
from appliance.ledger.writer import Writer
from appliance.monitor import Monitor
from appliance.settings import Settings
from appliance.web.app import mount_static
from appliance.web.app import router as pages
from appliance.web.frame import Logged
from appliance.web.page import http_error_page
from appliance.web.parts import WebParts
from appliance.web.runs import Runs
from appliance.web.security import SecureHeaders

DESCRIPTION = "An AI appliance: Qwen3 on your own card, with keys, a fair queue and a ledger."
Watcher = Callable[[Engine], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that lives as long as the app."""

    database: Database
    writer: Writer
    recorder: Recorder
    keys: KeyStore
    http: httpx2.AsyncClient
    engine: Engine
    queue: FairQueue
    gateway: Gateway
    runs: Runs
    monitor: Monitor


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
    parts = _parts(settings, plan, engine)
    app = FastAPI(
        title="Appliance",
        version=VERSION,
        description=DESCRIPTION,
        lifespan=partial(_lifespan, parts, settings, watchers),
        docs_url=None,
        redoc_url=None,
    )
    entrance = doors(settings, folder, network)
    named = entrance.named(parts.keys, require_key=settings.require_key)
    api = ApiParts(
        gateway=parts.gateway,
        engine=parts.engine,
        client=EngineClient(parts.http),
        identify=named,
        version=VERSION,
    )
    for dialect in (generate, completions, models, tokenize, health):
        app.include_router(dialect.router(api))
    queries = Queries(parts.database, parts.writer)
    history = History(parts.database, parts.writer)
    keep = settings.log_content == "full"
    elsewhere = Elsewhere(EngineClient(parts.http), parts.recorder, keep_content=keep)
    app.include_router(admin.router(api, parts.keys, queries, history, elsewhere, parts.queue))
    app.include_router(feedback.router(api, queries, history))
    app.include_router(docs.router())
    app.include_router(metrics.router(api, parts.monitor.page, settings.metrics_token))
    web = _web_parts(settings, plan, parts, queries, history, elsewhere, named, entrance)
    app.include_router(pages(web))
    errors.install(app, http_error_page(web))
    mount_static(app)
    # Outside of everything, so that a failure of the framework itself has an id and a row too.
    guarded = SecureHeaders(app, hsts_days=settings.hsts_days)
    return Recording(
        guarded,
        ledger=parts.recorder,
        watch=parts.monitor.request,
        allowances=parts.gateway.allowances,
    )


def _parts(settings: Settings, plan: Plan, engine: Engine) -> Parts:
    database = Database(settings.effective_database_url)
    database.migrate()
    writer = Writer(database)
    recorder = Recorder(writer)
    http = http_client()
    queue = FairQueue(
        slots=max(1, plan.max_concurrency),
        limit=settings.queue_limit,
        per_key=settings.queue_limit_per_key,
    )
    store = _store(settings)
    monitor = Monitor(
        engine=engine, queue=queue, writer=writer, store=store, data_dir=settings.data_dir
    )
    gateway = Gateway(
        engine=engine,
        client=EngineClient(http),
        limits=RateLimits(settings.rate_limit),
        queue=queue,
        log=recorder,
        log_content=settings.log_content,
        cache=None if store is None else AnswerCache(store),
        watch=monitor.generation,
        energy=EnergyMeter(card_counter(plan.gpu.uuid) if plan.gpu and plan.gpu.uuid else None),
    )
    keys = KeyStore(database, writer)
    runs = Runs(gateway, engine)
    return Parts(database, writer, recorder, keys, http, engine, queue, gateway, runs, monitor)


def _store(settings: Settings) -> MemoryStore | None:
    if not settings.cache_minutes:
        return None
    seconds, most = settings.cache_minutes * 60, settings.cache_mb * 1_000_000
    return MemoryStore(seconds=seconds, max_bytes=most)


def _web_parts(
    settings: Settings,
    plan: Plan,
    parts: Parts,
    queries: Queries,
    history: History,
    elsewhere: Elsewhere,
    named: Callable[[Request], Awaitable[Caller]],
    entrance: Doors,
) -> WebParts:
    return WebParts(
        gateway=parts.gateway,
        identify=named,
        engine=parts.engine,
        queries=queries,
        history=history,
        mine=Mine(parts.database, parts.writer),
        elsewhere=elsewhere,
        logged=Logged(
            full=settings.log_content == "full",
            days=settings.retention_days,
            text_days=settings.retention_content_days,
        ),
        keys=parts.keys,
        conversations=Conversations(parts.database, parts.writer),
        drafts=Drafts(parts.database, parts.writer),
        chat_titles=not settings.no_chat_titles,
        attachments=Attachments(parts.database, parts.writer),
        assistants=Assistants(parts.database, parts.writer),
        count_tokens=TokenCounter(parts.engine, EngineClient(parts.http)),
        runs=parts.runs,
        plan=plan,
        losses=parts.writer,
        reach=entrance.reach,
        demo_model=load_catalogue().demo.name,
        sessions=entrance.sessions,
        login_tries=entrance.tries,
        joining=Joining(parts.database, parts.writer),
        sign_out_all=entrance.signing.replace,
        language=settings.language,
        version=VERSION,
    )


@contextlib.asynccontextmanager
async def _lifespan(
    parts: Parts, settings: Settings, watchers: Sequence[Watcher], app: FastAPI
) -> AsyncIterator[None]:
    parts.recorder.mark_interrupted()
    tasks = [asyncio.ensure_future(watch(parts.engine)) for watch in watchers]
    tasks.append(asyncio.create_task(_size_queue(parts)))
    tasks.append(asyncio.create_task(parts.gateway.revocations.watch(parts.keys)))
    tasks.append(asyncio.create_task(_retention(settings, parts).run()))
    await parts.engine.start()
    try:
        yield
    finally:
        await parts.runs.close()
        await parts.engine.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await parts.http.aclose()
        parts.writer.close()
        parts.database.close()


def _retention(settings: Settings, parts: Parts) -> Retention:
    size = None if settings.retention_mb is None else settings.retention_mb * 1_000_000
    keep = Keep(settings.retention_days, settings.retention_content_days, size)
    return Retention(parts.database, parts.writer, keep)


async def _size_queue(parts: Parts) -> None:
    """As many places as the engine that is loaded now can serve at once."""
    async for status in parts.engine.changes():
        if status.facts is not None:
            parts.queue.resize(status.facts.max_concurrency)
