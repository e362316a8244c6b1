"""What a long prompt costs: again with the same beginning, and to those who are being answered.

    python -m bench.prefix                          both backends
    python -m bench.prefix --backend openvino --shared 1500 --long 4000
    python -m bench.prefix --pieces 32,64,128       also with pieces of one size, for the trade

Turns: a prompt of `--shared` fresh tokens and a question, then the same with the answer and another
question, as a chat goes on; aim: the second first token five times as fast. Stall: the longest gap
of a running stream while another prompt of `--long` tokens is read; aim: 0.25 s on a laptop's CPU.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import tempfile
from collections.abc import Iterator
from statistics import median
from typing import Any

from appliance.engine.config import BackendName
from bench.contestants import Worker, demo_config
from bench.ending import end_with_children
from bench.report import heading, markdown, spread
from bench.streams import Answer, HttpServer

BACKENDS: tuple[BackendName, ...] = ("openvino", "transformers")
# A worker that reads prompts beside answers in pieces of one size, whatever that takes.
FIXED = """
from appliance.engine.worker.backends.step_budget import StepBudget
StepBudget.tokens = property(lambda _: %d, lambda *_: None)
from appliance.engine.worker.process import main
main()
"""


def turns(server: HttpServer, shared: int) -> tuple[Answer, Answer]:
    """One conversation of two turns, on a server that has never seen its beginning."""
    # The demo model has a token for each of these words, and a number's digits are a few.
    beginning = f"{secrets.token_hex(4)}:" + " word" * shared
    first = asyncio.run(server.stream(f"{beginning}\nWhat was that?", 8))
    second = asyncio.run(server.stream(f"{beginning}\nWhat was that? Words.\nAnd now?", 8))
    return first, second


def measure(server: HttpServer, options: Any) -> list[object]:
    pairs = [turns(server, options.shared) for _ in range(options.rounds)]
    stalls = [asyncio.run(server.stall(options.long)) for _ in range(options.rounds)]
    return [
        spread([1e3 * first.first_token_seconds for first, _ in pairs], ".0f"),
        spread([1e3 * second.first_token_seconds for _, second in pairs], ".0f"),
        f"{median(a.first_token_seconds / b.first_token_seconds for a, b in pairs):.1f}",
        f"{median(second.cached_tokens for _, second in pairs):.0f}",
        spread([1e3 * stall.usual for stall in stalls], ".0f"),
        spread([1e3 * stall.longest for stall in stalls], ".0f"),
        spread([stall.reading for stall in stalls], ".1f"),
    ]


def rows(backend: BackendName, options: Any, cache: str) -> Iterator[list[object]]:
    """As it is, and with pieces of each of the sizes that were asked for."""
    for piece in (None, *options.pieces):
        config = demo_config(backend, cache)
        server = Worker(config, ("-c", FIXED % piece)) if piece else Worker(config)
        try:
            turns(server, 64)
            yield [server.name, piece or "by time", *measure(server, options)]
        finally:
            server.end()


def main() -> None:
    end_with_children()
    options = _options()
    print(heading(f"Long prompts: {options.shared} shared tokens, {options.long} beside a stream"))
    table: list[list[object]] = []
    with tempfile.TemporaryDirectory() as fresh:
        for backend in options.backend or BACKENDS:
            table += rows(backend, options, options.cache_dir or fresh)
    heads = ["", "pieces", "first turn, ms", "second turn, ms", "times as fast", "cached tokens"]
    print(markdown([*heads, "usual gap, ms", "longest gap beside, ms", "read in, s"], table))


def _options() -> Any:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", choices=BACKENDS, action="append")
    parser.add_argument("--shared", type=int, default=1500, help="tokens that begin both turns")
    parser.add_argument("--long", type=int, default=4000, help="tokens of the disturbing prompt")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--pieces", type=_sizes, default=[], help="also in pieces of these sizes, such as 32,64"
    )
    parser.add_argument("--cache-dir", help="keep conversions here; the next start is then fast")
    return parser.parse_args()


def _sizes(text: str) -> list[int]:
    return [int(size) for size in text.split(",")]


if __name__ == "__main__":
    main()
