"""The readings of parts, process and cards as gauges and counters. Decides nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from appliance.observability.families import Labels, gauge, sums
from appliance.observability.gpu import GpuReading
from appliance.observability.readings import (
    PHASES,
    EngineReading,
    Readings,
    read_disk,
    read_process,
)

if TYPE_CHECKING:
    from prometheus_client import Metric

NONE: Labels = {}


def appliance(readings: Readings) -> Iterator[Metric]:
    yield gauge("appliance_info", "The version.", [({"version": readings.version}, 1)])
    yield from _engine(readings.engine)
    for name, text, value in (
        ("fronts", "Processes that serve.", readings.fronts),
        ("queue_running", "Places at the engine that are taken.", readings.queue_running),
        ("queue_waiting", "Requests that wait for a place.", readings.queue_waiting),
        ("queue_places", "Places at the engine.", readings.queue_places),
        ("cache_entries", "Answers kept.", readings.cache_entries),
        ("cache_bytes", "Memory of the answers kept.", readings.cache_bytes),
        ("ledger_waiting", "Writes that wait for the ledger.", readings.ledger.waiting),
        ("ledger_failing", "1 while the ledger cannot record.", int(readings.ledger.failing)),
    ):
        if value is not None:
            yield gauge(f"appliance_{name}", text, [(NONE, value)])
    yield sums("appliance_ledger_lost", "Writes lost.", [(NONE, readings.ledger.lost)])
    spans = {"sent": readings.spans_sent, "lost": readings.spans_lost}
    counted = [({"result": name}, value) for name, value in spans.items() if value is not None]
    if counted:
        yield sums("appliance_spans", "Spans of traces, by what became of them.", counted)
    if (disk := read_disk(readings.data_dir)) is not None:
        for name, text, size in (
            ("disk_total_bytes", "Of the data folder's disk.", disk.total),
            ("disk_free_bytes", "Of the data folder's disk.", disk.free),
            ("ledger_bytes", "Of the ledger's files.", disk.ledger),
        ):
            yield gauge(f"appliance_{name}", text, [(NONE, size)])


def _engine(engine: EngineReading) -> Iterator[Metric]:
    phases: list[tuple[Labels, float]] = [({"phase": p}, float(p == engine.phase)) for p in PHASES]
    yield gauge("appliance_engine_phase", "1 for the phase that the engine is in.", phases)
    yield gauge("appliance_engine_up", "1 while it answers.", [(NONE, float(engine.answers))])
    yield sums("appliance_engine_restarts", "Deaths of the engine.", [(NONE, engine.restarts)])
    if not engine.model:
        return
    facts = {
        "model": engine.model,
        "backend": engine.backend,
        "version": engine.version,
        "precision": engine.precision,
    }
    yield gauge("appliance_engine_info", "What is loaded.", [(facts, 1)])
    for name, text, value in (
        ("context_tokens", "Most tokens of prompt and answer.", engine.context_tokens),
        ("kv_tokens", "Tokens that the KV cache holds.", engine.kv_tokens),
        ("kv_usage_ratio", "Of the KV cache, held by answers under way.", engine.kv_usage),
        ("load_seconds", "How long loading took.", engine.load_seconds),
    ):
        if value is not None:
            yield gauge(f"appliance_engine_{name}", text, [(NONE, value)])


def process() -> Iterator[Metric]:
    """Under the names that every Prometheus client uses."""
    seen = read_process()
    yield sums("process_cpu_seconds", "CPU time of the front.", [(NONE, seen.cpu_seconds)])
    yield gauge("process_resident_memory_bytes", "Of the front.", [(NONE, seen.resident_bytes)])
    yield gauge("process_start_time_seconds", "Since 1970.", [(NONE, seen.started_at)])
    if seen.open_files is not None:
        yield gauge("process_open_fds", "Of the front.", [(NONE, seen.open_files)])


def cards(readings: Sequence[GpuReading]) -> Iterator[Metric]:
    """Nothing at all on a machine without a card."""
    for name, text, value in _CARD_GAUGES:
        rows = [(_card(one), found) for one in readings if (found := value(one)) is not None]
        if rows:
            yield gauge(f"appliance_gpu_{name}", text, rows)
    energy = [(_card(one), one.energy) for one in readings if one.energy is not None]
    if energy:
        yield sums("appliance_gpu_energy_joules", "Since the driver was loaded.", energy)


_CARD_GAUGES: tuple[tuple[str, str, Callable[[GpuReading], float | None]], ...] = (
    ("utilization_ratio", "From 0 to 1.", lambda one: one.utilization),
    ("memory_used_bytes", "Video memory in use.", lambda one: one.memory_used),
    ("memory_total_bytes", "Video memory.", lambda one: one.memory_total),
    ("power_watts", "Power drawn.", lambda one: one.power),
    ("temperature_celsius", "Temperature of the chip.", lambda one: one.temperature),
)


def _card(reading: GpuReading) -> Labels:
    return {"gpu": str(reading.index), "name": reading.name}
