"""The wiring of what is watched: who tells the metrics, and which parts are read at a scrape."""

from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import anyio.to_thread
import httpx2

from appliance import VERSION
from appliance.engine.kv_usage import kv_usage
from appliance.engine.status import Engine, EngineStatus
from appliance.errors import EngineUnavailable
from appliance.gateway.queue import Queue
from appliance.gateway.store import MemoryStore
from appliance.ledger.ids import new_id
from appliance.ledger.trouble import in_words
from appliance.ledger.writer import Writer
from appliance.observability.exposition import Exposition
from appliance.observability.logs import log_request
from appliance.observability.metrics import Metrics
from appliance.observability.readings import EngineReading, LedgerReading, Readings
from appliance.observability.seen import GenerationSeen, RequestSeen
from appliance.observability.spans import generation_spans, request_spans
from appliance.observability.traces import Traces


@dataclass(slots=True, eq=False)
class FurtherFront:
    """One life of another process that serves the same appliance: what it has last told."""

    serves: bool = False
    ledger: LedgerReading = field(default_factory=LedgerReading)


@dataclass(slots=True, kw_only=True)
class Monitor:
    """Hears of every request that is over, and writes the page of metrics.

    `further` are the other fronts that live now.
    """

    engine: Engine
    queue: Queue
    writer: Writer
    store: MemoryStore | None
    data_dir: Path
    http: httpx2.AsyncClient
    traces: Traces | None = None
    metrics: Metrics = field(default_factory=Metrics)
    further: set[FurtherFront] = field(default_factory=set)
    lost_with_fronts: int = 0
    exposition: Exposition = field(init=False)

    def __post_init__(self) -> None:
        self.exposition = Exposition(self.metrics)

    def generation(self, seen: GenerationSeen) -> None:
        self.metrics.generation(seen)
        if self.traces is not None:
            self.traces.offer(generation_spans(seen))

    def request(self, seen: RequestSeen) -> None:
        self.metrics.request(seen)
        log_request(seen)
        if self.traces is not None:
            self.traces.offer(request_spans(seen))

    async def close(self) -> None:
        """What a collector has still to be told, it is told now."""
        if self.traces is not None:
            await anyio.to_thread.run_sync(self.traces.close)

    @property
    def fronts(self) -> int:
        """How many serve now, this one too."""
        return 1 + sum(one.serves for one in self.further)

    @property
    def ledger(self) -> LedgerReading:
        """What all fronts write."""
        all_of_them = [read_ledger(self.writer), *(one.ledger for one in self.further)]
        return LedgerReading(
            waiting=sum(one.waiting for one in all_of_them),
            lost=self.lost_with_fronts + sum(one.lost for one in all_of_them),
            failing=any(one.failing for one in all_of_them),
            error=next((one.error for one in all_of_them if one.error), None),
        )

    def another_front(self) -> FurtherFront:
        """A process that begins. Who starts it writes down what it tells."""
        self.further.add(front := FurtherFront())
        return front

    def without(self, front: FurtherFront) -> None:
        """It is over; what it has lost stays lost."""
        if front in self.further:
            self.further.remove(front)
            self.lost_with_fronts += front.ledger.lost

    async def page(self, accept: str) -> tuple[bytes, str]:
        """The metrics as text, and its content type.

        Parts are read on the event loop, to which they belong; disk and cards in a thread.
        """
        await self.queue.look()
        readings = self._readings(await self._kv_usage())
        return await anyio.to_thread.run_sync(self.exposition.write, readings, accept)

    async def _kv_usage(self) -> float | None:
        with suppress(EngineUnavailable):
            return await kv_usage(self.http, self.engine.endpoint())
        return None

    def _readings(self, kv: float | None) -> Readings:
        store = self.store
        return Readings(
            version=VERSION,
            engine=_engine(self.engine.status, kv),
            queue_running=self.queue.running,
            queue_waiting=self.queue.waiting,
            queue_places=self.queue.slots,
            cache_entries=None if store is None else len(store),
            cache_bytes=None if store is None else store.used_bytes,
            ledger=self.ledger,
            fronts=self.fronts,
            data_dir=self.data_dir,
            spans_sent=None if self.traces is None else self.traces.sent,
            spans_lost=None if self.traces is None else self.traces.lost,
        )


def make_traces(endpoint: str | None) -> Traces | None:
    """None where no collector is to be told."""
    if endpoint is None:
        return None
    resource = {
        "service.name": "appliance",
        "service.version": VERSION,
        "service.instance.id": new_id(),
        "host.name": socket.gethostname(),
    }
    return Traces(endpoint, resource, VERSION)


def read_ledger(writer: Writer) -> LedgerReading:
    """What this process writes."""
    losses = writer.losses
    return LedgerReading(
        waiting=writer.waiting,
        lost=losses.count,
        failing=losses.failing,
        error=None if losses.reason is None else in_words(losses.reason),
    )


def _engine(status: EngineStatus, kv: float | None) -> EngineReading:
    answers = status.phase == "ready" or status.on_demand
    facts = status.facts
    if facts is None:
        return EngineReading(phase=status.phase, answers=answers, restarts=status.restarts)
    return EngineReading(
        phase=status.phase,
        answers=answers,
        restarts=status.restarts,
        model=facts.model,
        backend=facts.backend,
        version=facts.engine_version,
        precision=facts.precision,
        context_tokens=facts.context_length,
        kv_tokens=facts.kv_tokens,
        kv_usage=kv,
        load_seconds=facts.load_seconds,
    )
