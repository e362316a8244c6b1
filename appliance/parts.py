"""The concrete parts of the appliance, made from the settings: the only place that names them."""

from __future__ import annotations

from dataclasses import dataclass

import httpx2

from appliance.engine.client import EngineClient
from appliance.engine.posting import http_client
from appliance.engine.status import Engine
from appliance.folder import front_name
from appliance.gateway.energy import Meter
from appliance.gateway.gateway import Gateway
from appliance.gateway.queue import Queue
from appliance.gateway.redis_contact import Contact
from appliance.gateway.store import MemoryStore
from appliance.gateway.tries import WrongKeys
from appliance.in_common import InCommon, make_in_common
from appliance.ledger.database import Database
from appliance.ledger.fronts import Fronts
from appliance.ledger.keys import KeyStore
from appliance.ledger.recorder import Recorder
from appliance.ledger.retention import Keep, Retention
from appliance.ledger.stops import Stops
from appliance.ledger.writer import Writer
from appliance.monitor import Monitor, make_traces
from appliance.observability.metrics import Metrics
from appliance.settings import Settings
from appliance.signing_shared import SharedSecrets
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
    common = make_in_common(settings, max(1, places), front)
    recorder, http = Recorder(writer, front), http_client()
    monitor = _monitor(settings, engine, common, writer, http, metrics or Metrics())
    gateway = _gateway(settings, engine, common, recorder, monitor, energy)
    shared = None if database.is_sqlite else _shared(database, writer, front)
    return Parts(
        database=database,
        writer=writer,
        recorder=recorder,
        keys=KeyStore(database, writer),
        http=http,
        engine=engine,
        queue=common.queue,
        gateway=gateway,
        runs=Runs(gateway, engine, None if shared is None else shared.stops),
        monitor=monitor,
        tries=common.tries,
        redis=common.redis,
        shared=shared,
    )


def _monitor(
    settings: Settings,
    engine: Engine,
    common: InCommon,
    writer: Writer,
    http: httpx2.AsyncClient,
    metrics: Metrics,
) -> Monitor:
    return Monitor(
        engine=engine,
        queue=common.queue,
        writer=writer,
        store=common.store if isinstance(common.store, MemoryStore) else None,
        data_dir=settings.data_dir,
        http=http,
        traces=make_traces(settings.otlp_endpoint),
        metrics=metrics,
    )


def _gateway(
    settings: Settings,
    engine: Engine,
    common: InCommon,
    recorder: Recorder,
    monitor: Monitor,
    energy: Meter | None,
) -> Gateway:
    return Gateway(
        engine=engine,
        client=EngineClient(monitor.http),
        limits=common.limits,
        queue=common.queue,
        log=recorder,
        log_content=settings.log_content,
        cache=common.cache,
        watch=monitor.generation,
        energy=energy,
    )


def _shared(database: Database, writer: Writer, front: str) -> Shared:
    return Shared(Fronts(writer, front), SharedSecrets(database, writer), Stops(database, writer))


def retention(settings: Settings, parts: Parts) -> Retention:
    size = None if settings.retention_mb is None else settings.retention_mb * 1_000_000
    keep = Keep(settings.retention_days, settings.retention_content_days, size)
    return Retention(parts.database, parts.writer, keep)
