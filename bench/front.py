"""What the front costs: the appliance before an engine, next to that engine alone, in turn.

    python -m bench.front                       a scripted engine, then our worker
    python -m bench.front --engine scripted --gap 0       as fast as sockets go

One engine process serves both ways: straight, and through an appliance that has it as its remote
engine. Per round one way is measured and then the other, and rounds swap who is first. Aims: 3 ms
more to the first token, 0.97 of the tokens a second at 16 streams.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from bench.contestants import PLACES, ROOT, Front, Worker, demo_config
from bench.ending import end_with_children
from bench.report import heading, markdown, spread
from bench.streams import HttpServer, Run, fresh_prompts


class Scripted(HttpServer):
    """`bench.upstream` in a process of its own."""

    def __init__(self, gap: float) -> None:
        self.name = f"scripted, a token every {1e3 * gap:g} ms"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.upstream", "--gap", str(gap)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def end(self) -> None:
        self.end_by_pipe()


@dataclass
class Pairs:
    """Rounds of one number of streams: straight to the engine, and through the front."""

    straight: list[Run] = field(default_factory=list)
    through: list[Run] = field(default_factory=list)
    front_cpu_seconds: float = 0.0

    @property
    def added_ms(self) -> float:
        """Median over rounds of what the front adds to the time to first token."""
        both = zip(self.straight, self.through, strict=True)
        return 1e3 * median(b.first_token_seconds - a.first_token_seconds for a, b in both)

    @property
    def kept(self) -> float:
        """Median over rounds of tokens a second through the front, as a share of the engine's."""
        both = zip(self.straight, self.through, strict=True)
        return median(b.speed / a.speed for a, b in both)

    @property
    def front_us_a_token(self) -> float:
        """Processor time of the front's process alone, its share of a request included."""
        return 1e6 * self.front_cpu_seconds / sum(run.tokens for run in self.through)


def measure(engine: HttpServer, front: Front, streams: int, tokens: int, rounds: int) -> Pairs:
    pairs = Pairs()

    def straight() -> None:
        pairs.straight.append(engine.run(fresh_prompts(streams), tokens))

    def through() -> None:
        before = front.cpu_seconds
        pairs.through.append(front.run(fresh_prompts(streams), tokens))
        pairs.front_cpu_seconds += front.cpu_seconds - before

    for turn in range(rounds):
        for way in (straight, through) if turn % 2 else (through, straight):
            way()
    return pairs


def compare(engine: HttpServer, options: Any) -> None:
    front = Front(engine, places=PLACES)
    front.fields = engine.fields
    try:
        for each in (engine, front):
            each.run(fresh_prompts(PLACES), 4)
        rows = []
        for count in (int(number) for number in options.streams.split(",")):
            pairs = measure(engine, front, count, options.tokens, options.rounds)
            rows.append(
                [
                    count,
                    spread([1e3 * run.first_token_seconds for run in pairs.straight]),
                    spread([1e3 * run.first_token_seconds for run in pairs.through]),
                    f"{pairs.added_ms:+.1f}",
                    spread([run.speed for run in pairs.straight], ".0f"),
                    spread([run.speed for run in pairs.through], ".0f"),
                    f"{pairs.kept:.3f}",
                    f"{pairs.front_us_a_token:.0f}",
                ]
            )
        heads = ["streams", "first token straight, ms", "through, ms", "added, ms"]
        heads += ["tokens/s straight", "through", "kept", "front's CPU, µs a token"]
        print(f"### Engine: {engine.name}\n\n{markdown(heads, rows)}\n", flush=True)
    finally:
        front.end()


def main() -> None:
    end_with_children()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=["both", "scripted", "worker"], default="both")
    parser.add_argument("--backend", choices=["openvino", "transformers"], default="openvino")
    parser.add_argument("--gap", type=float, default=0.02, help="scripted: seconds a token")
    parser.add_argument("--streams", default="1,4,16")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--cache-dir", help="keep conversions here; the next start is then fast")
    options = parser.parse_args()
    print(heading(f"The front: {options.tokens} tokens, {options.rounds} rounds in turn"))
    with tempfile.TemporaryDirectory() as fresh:
        if options.engine != "worker":
            _with(Scripted(options.gap), options)
        if options.engine != "scripted":
            cache = options.cache_dir or fresh
            _with(Worker(demo_config(options.backend, cache)), options)


def _with(engine: HttpServer, options: Any) -> None:
    try:
        compare(engine, options)
    finally:
        engine.end()


if __name__ == "__main__":
    main()
