"""What a long prompt costs: again with the same beginning, and to those who are being answered.

    python -m bench.prefix                          both backends
    python -m bench.prefix --backend openvino --shared 1500 --long 4000

Turns: a prompt of `--shared` fresh tokens and a question, then the same with the answer and another
question, as a chat goes on; aim: the second first token five times as fast. Stall: the longest gap
of a running stream while another prompt of `--long` tokens is read; aim: 0.25 s on a laptop's CPU.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import tempfile
from statistics import median
from typing import Any

from appliance.engine.config import BackendName
from bench.contestants import Worker, demo_config
from bench.report import heading, markdown, spread
from bench.streams import Answer, HttpServer

BACKENDS: tuple[BackendName, ...] = ("openvino", "transformers")


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
        server.name,
        spread([1e3 * first.first_token_seconds for first, _ in pairs], ".0f"),
        spread([1e3 * second.first_token_seconds for _, second in pairs], ".0f"),
        f"{median(a.first_token_seconds / b.first_token_seconds for a, b in pairs):.1f}",
        f"{median(second.cached_tokens for _, second in pairs):.0f}",
        spread([1e3 * usual for usual, _ in stalls], ".0f"),
        spread([1e3 * longest for _, longest in stalls], ".0f"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", choices=BACKENDS, action="append")
    parser.add_argument("--shared", type=int, default=1500, help="tokens that begin both turns")
    parser.add_argument("--long", type=int, default=4000, help="tokens of the disturbing prompt")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cache-dir", help="keep conversions here; the next start is then fast")
    options = parser.parse_args()
    print(heading(f"Long prompts: {options.shared} shared tokens, {options.long} beside a stream"))
    rows = []
    with tempfile.TemporaryDirectory() as fresh:
        for backend in options.backend or BACKENDS:
            server = Worker(demo_config(backend, options.cache_dir or fresh))
            try:
                turns(server, 64)
                rows.append(measure(server, options))
            finally:
                server.end()
    heads = ["", "first turn, ms", "second turn, ms", "times as fast", "cached tokens"]
    print(markdown([*heads, "usual gap, ms", "longest gap beside, ms"], rows))


if __name__ == "__main__":
    main()
