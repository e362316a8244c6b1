"""How the ledger does when it is large: python -m bench.ledger --requests 1000000 --data-dir DIR

Fills a new ledger with invented requests, then asks what the pages ask, records like the
appliance does, and prints a record in Markdown. `--database-url` measures PostgreSQL too: give a
database that is empty. What a run before has filled is measured again as it is.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from appliance.ledger.database import Database
from appliance.ledger.writer import Writer
from bench.ledger_fill import fill, is_empty
from bench.ledger_questions import Asking
from bench.ledger_record import Recording
from bench.ledger_rows import Invented, Texts
from bench.report import heading, markdown

ASKED_EACH = 30
RECORDED = 2000
HEADS = ("question", "median ms", "p95 ms", "worst ms")


def measure(url: str, requests: int) -> str:
    """The part of the record about one database."""
    database, texts = Database(url), Texts()
    database.migrate()
    told = [f"### {_server(database)}"]
    if is_empty(database):
        began = time.perf_counter()
        fill(database, Invented(texts, requests), _progress(requests))
        told.append(f"Filled in {time.perf_counter() - began:.0f} s.")
    told.append(_size(database))
    writer = Writer(database)
    # First, so that the questions meet indexes into which much has just been written.
    told.append(_written(Recording(writer, texts)))
    rows = asyncio.run(_asked(Asking(database, writer, texts).questions()))
    writer.close()
    database.close()
    return "\n\n".join([*told, markdown(HEADS, rows)])


async def _asked(
    questions: Mapping[str, Callable[[int], Awaitable[object]]],
) -> list[list[str]]:
    """Each question: median, p95 and worst of `ASKED_EACH`, in ms; the first is for warming up."""
    rows = []
    for name, ask in questions.items():
        print(name, file=sys.stderr, flush=True)
        rows.append([name, *await _times(ask)])
    return rows


async def _times(ask: Callable[[int], Awaitable[object]]) -> list[str]:
    await ask(0)
    taken = []
    for number in range(ASKED_EACH):
        began = time.perf_counter()
        await ask(number)
        taken.append((time.perf_counter() - began) * 1000)
    return [f"{value:.1f}" for value in (median(taken), _percentile(taken, 0.95), max(taken))]


def _written(recording: Recording) -> str:
    seconds = recording.run(RECORDED)
    added = [second * 1000 for second in recording.submitted]
    return (
        f"**Write path at this size:** {median(added):.3f} ms of a request's own time at the "
        f"median, {_percentile(added, 0.99):.3f} ms at p99; {RECORDED / seconds:.0f} requests "
        f"({4 * RECORDED / seconds:.0f} rows opened or closed) a second in all, "
        f"{recording.cpu / RECORDED * 1000:.2f} ms of processor time each; "
        f"{recording.writer.losses.count} rows lost."
    )


def _size(database: Database) -> str:
    with database.engine.connect() as connection:
        requests = connection.exec_driver_sql("SELECT count(*) FROM request").scalar_one()
        if not database.is_sqlite:
            taken = "SELECT pg_database_size(current_database())"
            size = connection.exec_driver_sql(taken).scalar_one()
    if database.file is not None:
        database.empty_wal()
        size = database.file.stat().st_size
    return (
        f"**Requests:** {requests}. **Size:** {size / 1e6:.0f} MB, "
        f"{size / requests:.0f} bytes a request."
    )


def _server(database: Database) -> str:
    asked = "SELECT sqlite_version()" if database.is_sqlite else "SHOW server_version"
    with database.engine.connect() as connection:
        version = connection.exec_driver_sql(asked).scalar_one()
    return f"{'SQLite' if database.is_sqlite else 'PostgreSQL'} {version}"


def _percentile(values: list[float], fraction: float) -> float:
    return sorted(values)[int(fraction * (len(values) - 1))]


def _progress(requests: int) -> Callable[[int], None]:
    def told(done: int) -> None:
        print(f"{done} of {requests}", file=sys.stderr, flush=True)

    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--data-dir", type=Path, help="Where to make the file; kept. Default: none")
    parser.add_argument("--database-url", help="A PostgreSQL database to measure as well.")
    parser.add_argument("--no-sqlite", action="store_true", help="Measure the server alone.")
    given = parser.parse_args()
    print(heading("The ledger when it is large"), flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        urls: list[Any] = [f"sqlite:///{(given.data_dir or Path(scratch)) / 'appliance.db'}"]
        for url in filter(None, [*([] if given.no_sqlite else urls), given.database_url]):
            print(measure(url, given.requests), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
