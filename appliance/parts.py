"""The concrete parts of the appliance, made from the settings: the only place that names them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx2
from fastapi import Request

from appliance import VERSION
from appliance.doors import Doors
from appliance.engine.client import EngineClient, http_client
from appliance.engine.counting import TokenCounter
from appliance.engine.status import Engine
from appliance.fit.catalogue import load_catalogue
from appliance.fit.plan import Plan
from appliance.folder import front_name
from appliance.gateway.elsewhere import Elsewhere
from appliance.gateway.energy import Meter
from appliance.gateway.gateway import Gateway
from appliance.gateway.identity import Caller
from appliance.gateway.queue import Queue
from appliance.gateway.redis_contact import Contact
from appliance.gateway.store import MemoryStore
from appliance.gateway.tries import WrongKeys
from appliance.in_common import (
    make_cache,
    make_contact,
    make_limits,
    make_queue,
    make_store,
    make_tries,
)
from appliance.ledger.assistants import Assistants
from appliance.ledger.attachments import Attachments
from appliance.ledger.conversations import Conversations
from appliance.ledger.database import Database
from appliance.ledger.drafts import Drafts
from appliance.ledger.fronts import Fronts
from appliance.ledger.history import History
from appliance.ledger.joining import Joining
from appliance.ledger.keys import KeyStore
from appliance.ledger.mine import Mine
from appliance.ledger.queries import Queries
from appliance.ledger.recorder import Recorder
from appliance.ledger.retention import Keep, Retention
from appliance.ledger.stops import Stops
from appliance.ledger.writer import Writer
from appliance.monitor import Monitor, make_traces
from appliance.observability.metrics import Metrics
from appliance.settings import Settings
from appliance.signing_shared import SharedSecrets
from appliance.web.frame import Logged
from appliance.web.parts import WebParts
from appliance.web.runs import Runs


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that lives as long as the app."""

    database: Database
    writer: Writer
    recorder: Recorder
    keys: KeyStore
    http: httpx2.AsyncClient
    engine: Engine
    queue: Queue
    gateway: Gateway
    runs: Runs
    monitor: Monitor
    tries: WrongKeys
    redis: Contact | None
    shared: Shared | None


@dataclass(frozen=True, slots=True)
class Shared:
    """What appliances have in common that serve from one ledger on a server."""

    fronts: Fronts
    signing: SharedSecrets
    stops: Stops


def make_parts(
    settings: Settings,
    engine: Engine,
    *,
    places: int,
    energy: Meter | None = None,
    metrics: Metrics | None = None,
) -> Parts:
    """`places` at the engine until it says how many it has; `energy` measures what answers cost;
    `metrics` are told of every request, new ones where none are given.

    The database is not touched: the first front migrates it.
    """
    database = Database(settings.effective_database_url)
    writer = Writer(database)
    front = front_name(settings.data_dir)
    recorder = Recorder(writer, front)
    http = http_client()
    queue = make_queue(settings, max(1, places))
    redis = make_contact(settings)
    store = make_store(settings, redis)
    monitor = Monitor(
        engine=engine,
        queue=queue,
        writer=writer,
        store=store if isinstance(store, MemoryStore) else None,
        data_dir=settings.data_dir,
        http=http,
        traces=make_traces(settings.otlp_endpoint),
        metrics=metrics or Metrics(),
    )
    gateway = Gateway(
        engine=engine,
        client=EngineClient(http),
        limits=make_limits(settings, redis),
        queue=queue,
        log=recorder,
        log_content=settings.log_content,
        cache=make_cache(settings, store, front),
        watch=monitor.generation,
        energy=energy,
    )
    keys = KeyStore(database, writer)
    shared = None if database.is_sqlite else _shared(database, writer, front)
    runs = Runs(gateway, engine, None if shared is None else shared.stops)
    return Parts(
        database=database,
        writer=writer,
        recorder=recorder,
        keys=keys,
        http=http,
        engine=engine,
        queue=queue,
        gateway=gateway,
        runs=runs,
        monitor=monitor,
        tries=make_tries(redis),
        redis=redis,
        shared=shared,
    )


def _shared(database: Database, writer: Writer, front: str) -> Shared:
    return Shared(Fronts(writer, front), SharedSecrets(database, writer), Stops(database, writer))


def web_parts(
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
            megabytes=settings.retention_mb,
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
        losses=lambda: parts.monitor.ledger,
        fronts=lambda: parts.monitor.fronts,
        reach=entrance.reach,
        demo_model=load_catalogue().demo.name,
        sessions=entrance.sessions,
        login_tries=entrance.tries,
        joining=Joining(parts.database, parts.writer),
        sign_out_all=entrance.signing.replace,
        language=settings.language,
        version=VERSION,
    )


def retention(settings: Settings, parts: Parts) -> Retention:
    size = None if settings.retention_mb is None else settings.retention_mb * 1_000_000
    keep = Keep(settings.retention_days, settings.retention_content_days, size)
    return Retention(parts.database, parts.writer, keep)
