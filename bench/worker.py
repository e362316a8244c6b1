"""What our HTTP costs: the worker's tokens a second next to its library driven directly.

    python -m bench.worker --backend openvino
    python -m bench.worker --backend transformers --streams 1,4,16 --rounds 5 --sampled
    python -m bench.worker --through front          the whole appliance instead of the worker alone

Both hold the same model at the same time and take turns, round by round, so that a machine whose
speed changes slows both alike. The library is taken as it comes: OpenVINO's pipeline in a loop of
its own, transformers' manager with its own logits processors (`--sampled` makes it use them).
Besides: seconds to ready on the first and on the second start, and resident memory.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from appliance.engine.worker.folder import open_folder
from bench.contestants import Front, Worker, demo_config, demo_gguf
from bench.direct import SAMPLED, DirectOpenVino, DirectTransformers
from bench.ending import end_children, end_with_children
from bench.report import heading, markdown, spread
from bench.streams import Contestant, HttpServer, Run, fresh_prompts


def compare(direct: Contestant, server: Contestant, streams: Sequence[int], options: Any) -> str:
    rows = []
    for count in streams:
        pairs: list[tuple[Run, Run]] = []
        for _ in range(options.rounds):
            one = direct.run(fresh_prompts(count), options.tokens)
            pairs.append((one, server.run(fresh_prompts(count), options.tokens)))
        kept = median(other.speed / one.speed for one, other in pairs)
        rows.append(
            [count]
            + [spread([pair[side].speed for pair in pairs]) for side in (0, 1)]
            + [f"{kept:.2f}"]
            + [spread([1e3 * p[side].first_token_seconds for p in pairs], ".0f") for side in (0, 1)]
        )
    heads = ["streams", "library tokens/s", "ours", "ours ÷ library"]
    return markdown([*heads, "library first token, ms", "ours"], rows)


def measure(options: Any) -> None:
    with tempfile.TemporaryDirectory() as fresh:
        cache = options.cache_dir or fresh
        config = demo_config(options.backend, cache)
        kind: type[Worker] | type[Front] = Worker if options.through == "worker" else Front
        first = kind(config)
        first.end()
        server: HttpServer = kind(config)
        if options.sampled:
            server.fields = {**server.fields, **SAMPLED}
        folder = open_folder(demo_gguf(), Path(cache), lambda *_: None)
        kinds: dict[str, Any] = {"openvino": DirectOpenVino, "transformers": DirectTransformers}
        direct: Contestant = kinds[options.backend](config, folder, sampled=options.sampled)
        for each in (direct, server):
            each.run(["warm up " * 20], 4)
        print(compare(direct, server, [int(n) for n in options.streams.split(",")], options))
        print(
            f"\nSeconds to ready: {first.load_seconds:.1f} first, {server.load_seconds:.1f} again."
        )
        print(f"Resident at the end: {server.resident_megabytes:.0f} MB.")
        server.end()


def main() -> None:
    end_with_children()
    options = _options()
    print(heading(f"Our HTTP beside the library: {options.tokens} tokens, {options.rounds} rounds"))
    status = 1
    try:
        measure(options)
        status = 0
    except Exception:
        traceback.print_exc()
    finally:
        end_children()
        sys.stdout.flush()
        # The library's thread is no daemon.
        os._exit(status)


def _options() -> Any:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", choices=["openvino", "transformers"], default="openvino")
    parser.add_argument("--through", choices=["worker", "front"], default="worker")
    parser.add_argument("--sampled", action="store_true", help="draw instead of greedy")
    parser.add_argument("--streams", default="1,4,16")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cache-dir", help="keep conversions here; the first start is then fast")
    return parser.parse_args()


if __name__ == "__main__":
    main()
