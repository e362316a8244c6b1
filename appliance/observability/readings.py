"""How the appliance's parts are at one moment, as plain numbers; the wiring takes the readings."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

PHASES = (
    *("starting", "loading", "ready", "restarting"),
    *("failed", "stopped", "unloading", "unloaded"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineReading:
    """`answers` as `/ready` says it. Names are empty and sizes None while nothing is loaded.

    `kv_usage` is from 0 to 1, None where the engine does not tell.
    """

    phase: str
    answers: bool
    restarts: int
    model: str = ""
    backend: str = ""
    version: str = ""
    precision: str = ""
    context_tokens: int | None = None
    kv_tokens: int | None = None
    kv_usage: float | None = None
    load_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerReading:
    """Writes that wait and writes that are lost; `error` is the reason of the first loss."""

    waiting: int = 0
    lost: int = 0
    failing: bool = False
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """`cache_bytes` and `cache_entries` are None where no answers are kept, `spans_sent` and
    `spans_lost` where there are no traces. `fronts` serve, of which each writes to the ledger:
    `ledger` is of all of them.
    """

    version: str
    engine: EngineReading
    queue_running: int
    queue_waiting: int
    queue_places: int
    cache_entries: int | None
    cache_bytes: int | None
    ledger: LedgerReading
    fronts: int
    data_dir: Path
    spans_sent: int | None = None
    spans_lost: int | None = None


@dataclass(frozen=True, slots=True)
class DiskReading:
    """Bytes of the disk that holds the data folder, and of the ledger's files in it."""

    total: float
    free: float
    ledger: float


@dataclass(frozen=True, slots=True)
class ProcessReading:
    """This process: seconds of CPU, bytes of memory, seconds since 1970, open files."""

    cpu_seconds: float
    resident_bytes: float
    started_at: float
    open_files: float | None


def read_disk(data_dir: Path) -> DiskReading | None:
    """None where the folder cannot be asked. Blocks for a moment."""
    try:
        usage = shutil.disk_usage(data_dir)
        ledger = sum(file.stat().st_size for file in data_dir.glob("appliance.db*"))
    except OSError:
        return None
    return DiskReading(usage.total, usage.free, ledger)


def read_process() -> ProcessReading:
    import psutil

    process = psutil.Process()
    with process.oneshot():
        times = process.cpu_times()
        files = process.num_fds() if hasattr(process, "num_fds") else None
        resident, started = process.memory_info().rss, process.create_time()
    return ProcessReading(times.user + times.system, resident, started, files)
