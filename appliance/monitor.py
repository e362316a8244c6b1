"""The wiring of what is watched: who tells the metrics, and which parts are read at a scrape."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import anyio.to_thread

from appliance import VERSION
from appliance.engine.status import Engine, EngineStatus
from appliance.gateway.queue import Queue
from appliance.gateway.store import MemoryStore
from appliance.ledger.writer import Writer
from appliance.observability.exposition import Exposition
from appliance.observability.logs import log_request
from appliance.observability.metrics import Metrics
from appliance.observability.readings import EngineReading, LedgerReading, Readings
from appliance.observability.seen import GenerationSeen, RequestSeen


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
    metrics: Metrics = field(default_factory=Metrics)
    further: set[FurtherFront] = field(default_factory=set)
    lost_with_fronts: int = 0
    exposition: Exposition = field(init=False)

    def __post_init__(self) -> None:
        self.exposition = Exposition(self.metrics)

    def generation(self, seen: GenerationSeen) -> None:
        self.metrics.generation(seen)

    def request(self, seen: RequestSeen) -> None:
        self.metrics.request(seen)
        log_request(seen)

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
        readings = self._readings()
        return await anyio.to_thread.run_sync(self.exposition.write, readings, accept)

    def _readings(self) -> Readings:
        store = self.store
        return Readings(
            version=VERSION,
            engine=_engine(self.engine.status),
            queue_running=self.queue.running,
            queue_waiting=self.queue.waiting,
            queue_places=self.queue.slots,
            cache_entries=None if store is None else len(store),
            cache_bytes=None if store is None else store.used_bytes,
            ledger=self.ledger,
            fronts=self.fronts,
            data_dir=self.data_dir,
        )


def read_ledger(writer: Writer) -> LedgerReading:
    """What this process writes."""
    error = None if writer.last_error is None else str(writer.last_error)
    return LedgerReading(
        waiting=writer.waiting, lost=writer.lost, failing=writer.failing, error=error
    )


def _engine(status: EngineStatus) -> EngineReading:
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
        load_seconds=facts.load_seconds,
    )
