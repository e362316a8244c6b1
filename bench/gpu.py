"""Decode speed of Qwen3-8B's shape on a card, next to what its memory bandwidth allows.

    python -m bench.gpu                              bf16, int8, nf4 at 1, 8 and 32 streams
    python -m bench.gpu --plain --streams 1,8        the library's own steps, to compare with
    python -m bench.gpu --tiny --device cpu          a smoke test: two layers, on the processor

Weights are random and made on the device, so nothing is fetched; speed does not depend on their
values, and no answer ends early. The engine is our backend, with its sampler, without HTTP.

The limit is that of one step that reads every weight once and every stream's cache once, at the
bandwidth that copying a large block reaches in the same run. No batch-1 decode can beat it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import sys
import time
from dataclasses import dataclass
from typing import Any

import torch
from transformers import Qwen3Config
from transformers.utils import logging as transformers_logging

import appliance.engine.worker.backends.transformers as backend_module
from appliance.engine.config import Precision
from appliance.engine.worker.backends.base import Ask, TokenStream
from appliance.engine.worker.backends.transformers import TransformersBackend
from appliance.engine.worker.sampling import TokenSampling
from bench.random_model import COPY_BYTES, bandwidth, qwen3_8b, random_model, step_bytes, tiny
from bench.report import heading, markdown

PROMPT_TOKENS = 128
# Tokens of a stream that are not timed: its prompt is still being read for some of them.
_SETTLING = 8


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens a second of all streams together, the limit for them, and the peak of memory."""

    streams: int
    tokens_a_second: float
    limit: float
    peak_bytes: int


async def decode(backend: TransformersBackend, streams: int, tokens: int, vocabulary: int) -> float:
    """Tokens a second of all streams, from when all are decoding to when the first has ended."""
    sampling = TokenSampling(temperature=0.6, top_p=0.95, top_k=20, seed=1)
    running = []
    for number in range(streams):
        prompt = [(7 * place + number) % vocabulary for place in range(PROMPT_TOKENS)]
        ask = Ask(prompt=prompt, max_tokens=tokens, sampling=sampling)
        running.append(TokenStream(ask))
        backend.submit(running[-1])
    moments = await asyncio.gather(*(_moments(stream) for stream in running))
    began = max(each[_SETTLING] for each in moments)
    ended = min(each[-1] for each in moments)
    count = sum(sum(began < moment <= ended for moment in each) for each in moments)
    return count / (ended - began)


async def _moments(stream: TokenStream) -> list[float]:
    moments: list[float] = []
    async for step in stream.steps():
        moments += [time.perf_counter()] * len(step.tokens)
    return moments


def measure(config: Qwen3Config, precision: Precision, options: Any, rate: float) -> list[Speed]:
    device: str = options.device
    model = random_model(config, precision, device)
    _forget_leftovers(device)
    batches = [int(number) for number in options.streams.split(",")]
    length = PROMPT_TOKENS + options.tokens
    began, before = time.perf_counter(), _free_bytes(device)
    backend = TransformersBackend(
        model, [], kv_tokens=max(batches) * (length + 32), max_concurrency=max(batches)
    )
    backend.warm_up()
    took, used = time.perf_counter() - began, (before - _free_bytes(device)) / 2**30
    print(f"{precision}: warmed up in {took:.1f} s, with {used:.2f} GiB.\n", flush=True)

    async def all_of_them() -> list[Speed]:
        backend.start(asyncio.get_running_loop(), _fail)
        await decode(backend, max(batches), 2 * _SETTLING, config.vocab_size)
        speeds = []
        for streams in batches:
            if device == "cuda":
                torch.cuda.reset_peak_memory_stats()
            speed = await decode(backend, streams, options.tokens, config.vocab_size)
            need = step_bytes(model, config, streams, PROMPT_TOKENS + options.tokens / 2)
            peak = torch.cuda.max_memory_allocated() if device == "cuda" else 0
            speeds.append(Speed(streams, speed, streams * rate / need, peak))
        return speeds

    try:
        return asyncio.run(all_of_them())
    finally:
        backend.close()


def _fail(error: BaseException) -> None:
    print(f"the backend died: {error}", file=sys.stderr)
    os._exit(1)


def _free_bytes(device: str) -> int:
    return torch.cuda.mem_get_info()[0] if device == "cuda" else 0


def _forget_leftovers(device: str) -> None:
    """What loading left behind would count as the model's."""
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()


def row(precision: str, speed: Speed) -> list[object]:
    return [
        precision,
        speed.streams,
        f"{speed.tokens_a_second:.1f}",
        f"{speed.limit:.1f}",
        f"{100 * speed.tokens_a_second / speed.limit:.0f} %",
        f"{speed.peak_bytes / 2**30:.2f}" if speed.peak_bytes else "–",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--precision", default="bf16,int8,nf4")
    parser.add_argument("--streams", default="1,8,32")
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--plain", action="store_true", help="without our steps for a card")
    parser.add_argument("--tiny", action="store_true", help="two small layers, to try the script")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no CUDA device; --tiny --device cpu tries the script without one")
    if options.tokens <= 2 * _SETTLING:
        parser.error(f"--tokens must be above {2 * _SETTLING}, for the first are not timed")
    if options.plain:
        setattr(backend_module, "kernels_for", lambda *_: None)  # noqa: B010
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    # It says with every product of matrices that it casts.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    shape = "two tiny layers" if options.tiny else "Qwen3-8B's shape"
    print(heading(f"Decode of {shape}, random weights, {options.tokens} tokens a stream"))
    if options.device == "cuda":
        print(f"Card: {torch.cuda.get_device_name()}, CUDA {torch.version.cuda}.\n")
    rate = bandwidth(options.device, 1 << 26 if options.tiny else COPY_BYTES)
    print(f"Copying reaches {rate / 1e9:.0f} GB/s.\n")
    rows = []
    for precision in options.precision.split(","):
        config = tiny() if options.tiny else qwen3_8b()
        rows += [row(precision, speed) for speed in measure(config, precision, options, rate)]
        _forget_leftovers(options.device)
    heads = ["precision", "streams", "tokens/s", "bandwidth's limit", "reached", "peak, GiB"]
    print(markdown(heads, rows))
    sys.stdout.flush()
    # The library's thread is no daemon.
    os._exit(0)


if __name__ == "__main__":
    main()
