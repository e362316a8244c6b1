"""A client of `/v1/completions` that is too light to be measured, and what it measures.

It knows no server: how one is started and ended is in `contestants` and `rivals`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import secrets
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple, Protocol

import httpx2
import psutil

LONG_PROMPT_TOKENS = 4000
LONGEST_ANSWER_TOKENS = 4000
_TEXT = re.compile(rb'"text": ?"(?!")')
_COMPLETION_TOKENS = re.compile(rb'"completion_tokens": ?(\d+)')
_CACHED_TOKENS = re.compile(rb'"cached_tokens": ?(\d+)')


@dataclass(frozen=True, slots=True)
class Run:
    """One batch of streams: seconds are from sending to the last token of the slowest."""

    tokens: int
    seconds: float
    first_token_seconds: float

    @property
    def speed(self) -> float:
        """Tokens a second of all streams together."""
        return self.tokens / self.seconds


@dataclass(frozen=True, slots=True)
class Answer:
    """One stream. `cached_tokens` is 0 where the server does not say; `body` is all that came."""

    tokens: int
    first_token_seconds: float
    cached_tokens: int
    body: bytes

    @property
    def text(self) -> str:
        """Put together only when asked for, so that no stopwatch has to wait for it."""
        lines = (line for line in self.body.splitlines() if line.startswith(b"data: {"))
        events = [json.loads(line[6:]) for line in lines]
        return "".join(c.get("text") or "" for e in events for c in e.get("choices") or ())


class Stall(NamedTuple):
    """In seconds: a running stream's usual gap, its longest while another prompt is read, and how
    long that takes."""

    usual: float
    longest: float
    reading: float


class Contestant(Protocol):
    def run(self, prompts: Sequence[str], tokens: int) -> Run:
        """Generate greedily for all prompts at once."""


class HttpServer:
    """Whoever answers `/v1/completions` at `port` of this machine.

    `fields` are added to every request: what a server calls the model, or wants said besides.
    """

    name: str
    version: str = ""
    key: str = "none"
    port: int
    process: subprocess.Popen[bytes]
    load_seconds: float = 0.0
    # The demo model's own default is a penalty, which the libraries alone know nothing of.
    fields: Mapping[str, Any] = {"repetition_penalty": 1.0}

    @property
    def resident_megabytes(self) -> float:
        """Of the process that was started, without its children."""
        return float(psutil.Process(self.process.pid).memory_info().rss) / 1e6

    @property
    def cpu_seconds(self) -> float:
        """Spent by the process that was started, without its children."""
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    def end(self) -> None:
        self.process.terminate()
        self.process.wait()

    def end_by_pipe(self) -> None:
        """Those that end when their standard input does."""
        self.process.communicate()

    def run(self, prompts: Sequence[str], tokens: int) -> Run:
        async def all_of_them() -> Run:
            began = time.perf_counter()
            answers = await asyncio.gather(*(self.stream(p, tokens) for p in prompts))
            seconds = time.perf_counter() - began
            first = min(answer.first_token_seconds for answer in answers)
            return Run(sum(answer.tokens for answer in answers), seconds, first)

        return asyncio.run(all_of_them())

    async def stream(
        self, prompt: str, tokens: int, seen: Callable[[float], None] | None = None
    ) -> Answer:
        """One greedy answer. `seen` hears the moment of every piece that comes.

        Raises RuntimeError with the end of what was said when it is no whole answer.
        """
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        began = time.perf_counter()
        writer.write(self._request(prompt, tokens))
        first, body = 0.0, b""
        with contextlib.closing(writer):
            while b"data: [DONE]" not in body[-200:]:
                piece = await reader.read(65536)
                if not piece:
                    break  # some end without the mark, and the count says whether they had ended
                body += piece
                if not first and _TEXT.search(body):
                    first = time.perf_counter() - began
                if seen is not None:
                    seen(time.perf_counter())
        counts, cached = _COMPLETION_TOKENS.findall(body), _CACHED_TOKENS.findall(body)
        if not counts:
            raise RuntimeError(f"{self.name} broke off: {body.decode(errors='replace')[-500:]}")
        return Answer(int(counts[-1]), first, int(cached[-1]) if cached else 0, body)

    def _request(self, prompt: str, tokens: int) -> bytes:
        ask = {"prompt": prompt, "max_tokens": tokens, "temperature": 0, "stream": True}
        ask |= {"stream_options": {"include_usage": True}, **self.fields}
        body = json.dumps(ask).encode()
        head = (
            "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            "Content-Type: application/json\r\n"
            f"Authorization: Bearer {self.key}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    async def stall(self, prompt_tokens: int = LONG_PROMPT_TOKENS) -> Stall:
        """How a stream fares while another prompt is read."""
        moments: list[float] = []
        settled = asyncio.Event()

        def seen(moment: float) -> None:
            moments.append(moment)
            if len(moments) == 20:
                settled.set()

        # More than the reading takes; it is hung up on as soon as that is done.
        running = asyncio.create_task(self.stream("la la la la", LONGEST_ANSWER_TOKENS, seen))
        await settled.wait()
        began = time.perf_counter()
        await self.stream(secrets.token_hex(4) + " word" * prompt_tokens, 1)
        ended = time.perf_counter()
        if running.done():
            raise RuntimeError(f"{self.name} ended the stream before it had read the prompt")
        running.cancel()
        await asyncio.wait({running})
        gaps = [b - a for a, b in pairwise(moments)]
        during = [g for g, m in zip(gaps, moments[1:], strict=False) if began < m <= ended]
        return Stall(median(gaps), max(during, default=0.0), ended - began)


def fresh_prompts(count: int) -> list[str]:
    """Short, and different from their first word on: a prefix cache must not answer."""
    return [f"{secrets.token_hex(3)}: Once upon a time" for _ in range(count)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_ready(server: HttpServer, path: str, seconds: float) -> None:
    """Until `path` answers 200. Raises RuntimeError when the process ends or time is up."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        if server.process.poll() is not None:
            raise RuntimeError(f"{server.name} ended before it was ready")
        try:
            if httpx2.get(f"http://127.0.0.1:{server.port}{path}").status_code == 200:
                return
        except httpx2.HTTPError:
            pass
        time.sleep(0.05)
    server.end()
    raise RuntimeError(f"{server.name} was not ready within {seconds:.0f} s")
