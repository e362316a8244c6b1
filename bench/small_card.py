"""The whole appliance on a card with only so much memory free, as a laptop's is.

    python -m bench.small_card                      all of the card, then 24, 16, 12, 8 and 6 GiB
    python -m bench.small_card --free 16 --folder /data/random-8b
    python -m bench.small_card --tiny --free all    a smoke test: two layers, on the processor

A neighbour takes the rest of the card's memory. All else is as an owner has it: `--model FOLDER`,
the planner's choice of precision, loading, warming up, HTTP. The model is Qwen3-8B's shape with
random weights, written to `--folder` once. Asked of it: one stream; as many as there are places;
the whole KV cache at once; the longest prompt that the context takes; then one stream again.

`least free` is what the driver called free at the worst moment: below zero would be an answer lost.
"""

from __future__ import annotations

import argparse
import re
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from appliance.fit.nvidia import find_gpus
from bench.contestants import WholeAppliance
from bench.ending import end_with_children
from bench.neighbour import LeastFree, Spawned, only
from bench.random_model import qwen3_8b, tiny, write_folder
from bench.report import heading, markdown, markdown_row
from bench.streams import HttpServer, fresh_prompts

_READY_SECONDS = 120.0
_ANSWER_TOKENS = 64
# Qwen3's own sampling: what a chat asks for.
_SAMPLING = {"temperature": 0.6, "top_p": 0.95, "top_k": 20}
# Of a prompt that should just fit: the mark that makes it new, and what the server adds.
_MARK_TOKENS = 32

_READY = re.compile(r"Ready: .* \((\w+), \w+\) after .* context (\d+) tokens, (\d+) answers")
_KV_TOKENS = re.compile(r"^appliance_engine_kv_tokens(?:{.*})? (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was loaded in the end; where memory was short, less than was planned at first."""

    precision: str
    context: int
    places: int
    kv_tokens: int


class Appliance(WholeAppliance):
    """With that model, in whatever way the planner chooses."""

    fields = _SAMPLING

    def __init__(self, folder: Path) -> None:
        super().__init__(["--model", str(folder)], seconds=_READY_SECONDS)
        self.loaded = self._loaded()

    def _loaded(self) -> Loaded:
        """From its own words to the owner, and from its metrics."""
        while (said := _READY.search(self.console.read_text("utf-8"))) is None:
            time.sleep(0.05)
        metrics = httpx2.get(f"http://127.0.0.1:{self.port}/metrics").text
        (cache,) = _KV_TOKENS.findall(metrics)
        return Loaded(said[1], int(said[2]), int(said[3]), int(float(cache)))


def _words(tokens: int) -> str:
    """A prompt of about so many tokens that no cache knows: the demo's tokenizer has this word."""
    return f"{secrets.token_hex(4)}:" + " word" * max(1, tokens - _MARK_TOKENS)


def ask(server: HttpServer, prompts: Sequence[str], tokens: int) -> tuple[float, float]:
    """Tokens a second of all together, and seconds to the first. Raises RuntimeError when an
    answer is shorter than was asked for."""
    run = server.run(prompts, tokens)
    if run.tokens != tokens * len(prompts):
        raise RuntimeError(f"{run.tokens} tokens came instead of {tokens * len(prompts)}")
    return run.speed, run.first_token_seconds


def measure(server: Appliance, tokens: int) -> list[object]:
    """One row: what was loaded, and how fast it is."""
    loaded = server.loaded
    places, cache, context = loaded.places, loaded.kv_tokens, loaded.context
    each = min(context, cache // places) - _ANSWER_TOKENS
    ask(server, fresh_prompts(1), _ANSWER_TOKENS)
    alone, first = ask(server, fresh_prompts(1), tokens)
    together, _ = ask(server, fresh_prompts(places), tokens)
    ask(server, [_words(each) for _ in range(places)], _ANSWER_TOKENS)
    _, longest = ask(server, [_words(context - _ANSWER_TOKENS)], _ANSWER_TOKENS)
    again, _ = ask(server, fresh_prompts(1), tokens)
    return [
        loaded.precision,
        f"{context:,}",
        f"{cache:,}",
        places,
        f"{server.load_seconds:.0f}",
        f"{alone:.0f}",
        f"{1e3 * first:.0f}",
        f"{together:.0f}",
        f"{longest:.1f}",
        f"{again:.0f}",
    ]


def row(free: str, folder: Path, tokens: int) -> list[object]:
    free_bytes = None if free == "all" else int(float(free) * 2**30)
    with only(free_bytes), LeastFree() as least:
        try:
            server = Appliance(folder)
            try:
                figures = measure(server, tokens)
            finally:
                server.end()
        except (RuntimeError, OSError) as error:
            print(error, file=sys.stderr)
            figures = ["failed", *["–"] * (len(HEADS) - 3)]
    spare = "–" if least.bytes is None else f"{least.bytes / 2**20:.0f}"
    return [free, *figures, spare]


HEADS = [
    "free, GiB",
    "precision",
    "context",
    "KV tokens",
    "places",
    "ready after, s",
    "one stream, tokens/s",
    "first token, ms",
    "all places, tokens/s",
    "longest prompt read in, s",
    "one again, tokens/s",
    "least free, MiB",
]


def make_folder(options: Any) -> None:
    """In a process of its own, so that nothing of it stays on the card."""
    config = tiny() if options.tiny else qwen3_8b()
    device = "cpu" if options.tiny else "cuda"
    target: Callable[..., None] = write_folder
    maker = Spawned.Process(target=target, args=(options.folder, config, device, options.tokenizer))
    maker.start()
    maker.join()
    if maker.exitcode:
        raise SystemExit("The model's folder could not be written; see above.")


def main() -> None:
    end_with_children()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--free", default="all,24,16,12,8,6", help="GiB, or all")
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--folder", type=Path, help="where the model is, or is to be written")
    parser.add_argument("--tokenizer", type=Path, help="a folder with one; default: the demo's")
    parser.add_argument("--tiny", action="store_true", help="two small layers, to try the script")
    options = parser.parse_args()
    if not options.tiny and not find_gpus()[0]:
        parser.error("there is no card; --tiny --free all tries the script without one")
    with tempfile.TemporaryDirectory() as fresh:
        options.folder = options.folder or Path(fresh) / "model"
        print(heading("The whole appliance beside a neighbour on the card"), flush=True)
        if not options.folder.is_dir():
            make_folder(options)
        print(markdown(HEADS, []))
        for free in options.free.split(","):
            print(markdown_row(row(free, options.folder, options.tokens)), flush=True)


if __name__ == "__main__":
    main()
