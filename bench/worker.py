"""What our HTTP costs: the worker's tokens a second next to its library driven directly.

    python -m bench.worker --backend openvino
    python -m bench.worker --backend transformers --streams 1,4,16 --rounds 5
    python -m bench.worker --through front          the whole appliance instead of the worker alone

Both hold the same model at the same time and take turns, round by round, so that a machine whose
speed changes slows both alike. The figures are medians over rounds: tokens a second of all streams
together, time to first token of one stream alone, and their ratio. Besides: seconds to ready on the
first and on the second start, resident memory, and how long a running stream stalls while a long
prompt is read.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from appliance.engine.config import EngineConfig
from appliance.engine.worker.folder import open_folder
from bench.contestants import (
    DEMO,
    Contestant,
    DirectOpenVino,
    DirectTransformers,
    Front,
    Worker,
)


def compare(direct: Contestant, server: Contestant, streams: Sequence[int], options: Any) -> None:
    print(f"{'streams':>8}{'direct tok/s':>14}{'HTTP tok/s':>12}{'ratio':>8}"
          f"{'direct first ms':>17}{'HTTP first ms':>15}")  # fmt: skip
    for count in streams:
        pairs = []
        for _ in range(options.rounds):
            prompts = [f"{secrets.token_hex(3)}: Once upon a time" for _ in range(2 * count)]
            pairs.append(
                (
                    direct.run(prompts[:count], options.tokens),
                    server.run(prompts[count:], options.tokens),
                )
            )
        one = median(pair[0].speed for pair in pairs)
        other = median(pair[1].speed for pair in pairs)
        ratio = median(pair[1].speed / pair[0].speed for pair in pairs)
        first = [1e3 * median(pair[side].first_token_seconds for pair in pairs) for side in (0, 1)]
        print(
            f"{count:>8}{one:>14.1f}{other:>12.1f}{ratio:>8.2f}{first[0]:>17.0f}{first[1]:>15.0f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", choices=["openvino", "transformers"], default="openvino")
    parser.add_argument("--through", choices=["worker", "front"], default="worker")
    parser.add_argument("--streams", default="1,4,16")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cache-dir", help="keep conversions here; the first start is then fast")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as fresh:
        cache = options.cache_dir or fresh
        config = EngineConfig(
            backend=options.backend,
            model="demo",
            source=DEMO,
            precision="gguf",
            context_length=8192,
            kv_tokens=16384,
            max_concurrency=16,
            key=secrets.token_hex(16),
            cache_dir=cache,
        )
        kind: type[Worker] | type[Front] = Worker if options.through == "worker" else Front
        first = kind(config)
        first.end()
        server = kind(config)
        print(f"seconds to ready: {first.load_seconds:.1f} first, {server.load_seconds:.1f} again")
        print(f"resident: {server.resident_megabytes:.0f} MB after loading")
        gguf = _package_file()
        folder = open_folder(gguf, Path(cache), lambda *_: None)
        kinds: dict[str, Any] = {"openvino": DirectOpenVino, "transformers": DirectTransformers}
        direct: Contestant = kinds[options.backend](config, folder)
        direct.run(["warm up"], 4)
        compare(direct, server, [int(n) for n in options.streams.split(",")], options)
        usual, longest = asyncio.run(server.stall())
        print(f"token gap: {1e3 * usual:.0f} ms usual, {1e3 * longest:.0f} ms beside a long prompt")
        print(f"resident: {server.resident_megabytes:.0f} MB at the end")
        server.end()
    sys.stdout.flush()
    # The library's thread is no daemon.
    import os

    os._exit(0)


def _package_file() -> Path:
    from importlib.util import find_spec

    package, file = DEMO.location.split("/")
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(next(iter(spec.submodule_search_locations)), file)


if __name__ == "__main__":
    main()
