"""What several fronts carry against one: the same scripted engine behind 1, 2 and more, in turn.

    python -m bench.fronts --redis-url redis://127.0.0.1:6379/9
    python -m bench.fronts --redis-url … --fronts 1,4 --streams 128 --database-url postgresql://…

All streams together want more tokens than one front carries (streams / gap), so the fronts are what
is measured, as long as there are processors for all: client, engine and each front want one. Where
there are not, compare the CPU a token, which says what the fronts cost, and not tokens a second.
`busiest` is the share of the front that had most to do: connections go to whoever takes them first.
Every appliance keeps its ledger, in SQLite unless told otherwise.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx2
import psutil

from bench.contestants import Front
from bench.ending import end_with_children
from bench.front import Scripted
from bench.report import heading, markdown, spread
from bench.streams import HttpServer, Run, fresh_prompts

START_SECONDS = 60.0


class Fronts(Front):
    """An appliance of so many processes. All of them count."""

    def __init__(self, engine: HttpServer, count: int, options: Any) -> None:
        flags = ["--workers", str(count), "--redis-url", options.redis_url]
        if options.database_url:
            flags += ["--database-url", options.database_url]
        super().__init__(engine, places=options.streams, flags=flags)
        self.name, self.fields = f"{count} fronts", engine.fields
        self._wait_for(count)

    @property
    def cpu_of_each(self) -> dict[int, float]:
        """Seconds so far, by process."""
        first = psutil.Process(self.process.pid)
        times = {one.pid: one.cpu_times() for one in (first, *first.children())}
        return {pid: float(one.user + one.system) for pid, one in times.items()}

    def _wait_for(self, count: int) -> None:
        until = time.perf_counter() + START_SECONDS
        while f"appliance_fronts {count:.1f}" not in self._metrics():
            if time.perf_counter() > until:
                self.end()
                raise RuntimeError(f"{self.name} did not all serve")
            time.sleep(0.1)

    def _metrics(self) -> str:
        return httpx2.get(f"http://127.0.0.1:{self.port}/metrics", timeout=30).text


@dataclass
class Rounds:
    """`cpu` are the seconds that each process has spent in them."""

    runs: list[Run] = field(default_factory=list)
    cpu: Counter[int] = field(default_factory=Counter)

    @property
    def us_a_token(self) -> float:
        return 1e6 * sum(self.cpu.values()) / sum(run.tokens for run in self.runs)

    @property
    def busiest(self) -> float:
        return max(self.cpu.values()) / sum(self.cpu.values())


def measure(fronts: list[Fronts], streams: int, tokens: int, rounds: int) -> list[Rounds]:
    """Each in turn, and every second round the other way round."""
    found = [Rounds() for _ in fronts]
    for turn in range(rounds):
        pairs = list(zip(fronts, found, strict=True))
        for front, of_it in pairs if turn % 2 else reversed(pairs):
            before = front.cpu_of_each
            of_it.runs.append(front.run(fresh_prompts(streams), tokens))
            for pid, seconds in front.cpu_of_each.items():
                of_it.cpu[pid] += seconds - before.get(pid, 0.0)
    return found


def main() -> None:
    end_with_children()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--redis-url", required=True, help="a Redis whose contents do not matter")
    parser.add_argument("--database-url", help="a PostgreSQL for all ledgers; default: SQLite")
    parser.add_argument("--fronts", default="1,2,4")
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--gap", type=float, default=0.005, help="seconds a token of a stream")
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    print(heading(f"Fronts: {options.streams} streams of {options.tokens} tokens"))
    engine, fronts = Scripted(options.gap), list[Fronts]()
    try:
        for count in (int(number) for number in options.fronts.split(",")):
            fronts.append(Fronts(engine, count, options))
            fronts[-1].run(fresh_prompts(options.streams), 4)
        found = measure(fronts, options.streams, options.tokens, options.rounds)
        rows = [
            [
                front.name,
                spread([run.speed for run in of_it.runs], ".0f"),
                spread([1e3 * run.first_token_seconds for run in of_it.runs]),
                f"{of_it.us_a_token:.0f}",
                f"{of_it.busiest:.0%}",
            ]
            for front, of_it in zip(fronts, found, strict=True)
        ]
        heads = ["", "tokens/s", "first token, ms", "CPU, µs a token", "busiest"]
        print(markdown(heads, rows))
    finally:
        for front in fronts:
            front.end()
        engine.end()


if __name__ == "__main__":
    main()
