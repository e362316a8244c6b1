"""A real worker process, driven as the supervisor drives it."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2

from appliance.engine.config import EngineConfig

ROOT = Path(__file__).resolve().parents[3]
KEY = "a key of forty characters, more or less"
PATIENCE_SECONDS = 90.0


class RunningWorker:
    """Speaks the worker's protocol over its pipes. `log` is what it wrote to standard error."""

    def __init__(self, config: EngineConfig, log: Path) -> None:
        self.config = config
        self.log = log
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "appliance.engine.worker"],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        self.events: list[dict[str, Any]] = []
        self._queue: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.send(config.to_json())

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                # A line that is no JSON is a library's chatter where only events belong.
                self._queue.put(json.loads(line))
        self._queue.put(None)

    def send(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def wait_for(self, *names: str) -> dict[str, Any]:
        """The next event of one of these names; fails when the process ends first."""
        while True:
            event = self._queue.get(timeout=PATIENCE_SECONDS)
            assert event is not None, self.log.read_text(errors="replace")[-2000:]
            self.events.append(event)
            if event["event"] in names:
                return event

    @property
    def url(self) -> str:
        port = next(e["port"] for e in self.events if e["event"] == "listening")
        return f"http://127.0.0.1:{port}"

    def client(self, key: str | None = KEY) -> httpx2.AsyncClient:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx2.AsyncClient(
            base_url=self.url, headers=headers, timeout=PATIENCE_SECONDS, trust_env=False
        )

    def close_stdin(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def end(self) -> int:
        self.close_stdin()
        status = self.process.wait(timeout=PATIENCE_SECONDS)
        self._reader.join(timeout=PATIENCE_SECONDS)
        return status


@contextmanager
def running(config: EngineConfig, log: Path, **changes: Any) -> Iterator[RunningWorker]:
    """A worker that has not said anything yet."""
    worker = RunningWorker(replace(config, **changes), log)
    try:
        yield worker
    finally:
        worker.end()


def sse_payloads(text: str) -> list[Any]:
    """The payloads of a whole SSE body; `[DONE]` must be the last and is left out."""
    blocks = [block for block in text.split("\n\n") if block]
    assert all(block.startswith("data: ") for block in blocks)
    payloads = [block.removeprefix("data: ") for block in blocks]
    assert payloads.pop() == "[DONE]"
    return [json.loads(payload) for payload in payloads]


async def answered(client: httpx2.AsyncClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """What a request that must not be refused was answered with."""
    response = await client.post(path, json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def scores_of(answer: dict[str, Any]) -> list[tuple[str, float]]:
    """Tokens of an answer that was asked for `logprobs`, with theirs."""
    entries = answer["choices"][0]["logprobs"]["content"]
    return [(entry["token"], entry["logprob"]) for entry in entries]


def content_of(chunks: list[Any]) -> str:
    """The answer's text, from chunks of either route."""
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    return "".join(c.get("text") or c.get("delta", {}).get("content") or "" for c in choices)
