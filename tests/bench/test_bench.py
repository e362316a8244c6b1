"""Measuring a server whose tokens and pace are known."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from appliance.bench import BenchResult, Level, Spread, bench, render, to_json
from appliance.bench.result import Sample
from appliance.errors import SetupError

pytestmark = pytest.mark.anyio

FIRST_S, GAP_S = 0.04, 0.01


def event(text: str | None = None, **more: Any) -> dict[str, Any]:
    delta = {} if text is None else {"content": text}
    finish = more.pop("finish", None)
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


USAGE = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 12}}
ANSWER = [*(event(text) for text in "abcd"), event(finish="length"), USAGE]


@dataclass
class Script:
    """An OpenAI-compatible server that says its lines: 4 pieces of text of 3 tokens each."""

    events: list[dict[str, Any]] = field(default_factory=lambda: ANSWER)
    status: int = 200
    refuse_after: int = 1_000_000
    stall_after: int = 1_000_000
    key: str | None = None
    bodies: list[dict[str, Any]] = field(default_factory=list)
    running: int = 0
    most_running: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await self._answer(head, reader, writer)
        except ConnectionError:
            pass
        finally:
            self.running -= 1
            writer.close()

    async def _answer(
        self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if self.key is not None and f"authorization: Bearer {self.key}" not in head.replace(
            "Authorization", "authorization"
        ):
            return self._send(writer, 401, {"error": {"message": "no such key"}})
        if head.startswith("GET /v1/models "):
            return self._send(writer, 200, {"data": [{"id": "scripted"}]})
        length = next(line for line in head.lower().split("\r\n") if "content-length" in line)
        self.bodies.append(json.loads(await reader.readexactly(int(length.split(":")[1]))))
        if self.status != 200 or len(self.bodies) > self.refuse_after:
            return self._send(writer, 503, {"error": {"message": "the queue is full"}})
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n")
        writer.write(b"Content-Type: text/event-stream\r\n\r\n: hello\n\n")
        for place, one in enumerate(self.events):
            if len(self.bodies) > self.stall_after:
                await reader.read()  # until the client hangs up
            await asyncio.sleep(GAP_S if place else FIRST_S)
            writer.write(f"data: {json.dumps(one)}\n\n".encode())
            await writer.drain()
        writer.write(b"data: [DONE]\n\n")
        return None

    def _send(self, writer: asyncio.StreamWriter, status: int, value: dict[str, Any]) -> None:
        body = json.dumps(value).encode()
        head = f"HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[str]:
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_tokens_and_times_are_what_the_server_did() -> None:
    script, said = Script(), list[str]()
    async with serving(script) as url:
        result = await bench(url, concurrency=(1, 3), rounds=2, progress=said.append)
    assert result.model == "scripted"
    assert result.url == f"{url}/v1"
    assert not result.failed
    assert said == ["warming up", "1 at once", "3 at once"]
    one, three = result.levels
    assert (one.requests, three.requests) == (2, 6)
    assert (one.completion_tokens, three.completion_tokens) == (24, 72)
    assert one.prompt_tokens == 14
    assert one.first_token_ms is not None
    assert 1000 * FIRST_S <= one.first_token_ms.median < 1000 * FIRST_S + 500
    assert one.gap_ms is not None
    assert 0 < one.gap_ms.median <= one.gap_ms.p95 <= one.gap_ms.p99 <= one.gap_ms.worst
    assert one.gap_ms.median < 1000 * FIRST_S
    assert 0 < one.tokens_per_second <= 12 / (FIRST_S + 5 * GAP_S)
    assert three.tokens_per_second == pytest.approx(72 / three.wall_seconds)


async def test_as_many_streams_run_as_asked_for() -> None:
    script = Script()
    async with serving(script) as url:
        await bench(f"{url}/v1/", concurrency=[4], rounds=2)
    assert script.most_running == 4
    assert len(script.bodies) == 1 + 8


async def test_each_prompt_is_new_and_of_the_length_asked_for() -> None:
    script = Script()
    async with serving(script) as url:
        await bench(url, concurrency=[2], rounds=2, max_tokens=5, prompt_tokens=200)
    prompts = [body["messages"][0]["content"] for body in script.bodies]
    assert len({prompt[:12] for prompt in prompts}) == len(prompts) == 5
    assert all(195 <= len(prompt.split()) <= 205 for prompt in prompts)
    assert script.bodies[0]["max_tokens"] == 5
    assert script.bodies[0]["stream_options"] == {"include_usage": True}


async def test_a_second_run_finds_nothing_in_a_cache() -> None:
    script = Script()
    async with serving(script) as url:
        for _ in range(2):
            await bench(url, concurrency=[1], rounds=1)
    prompts = [body["messages"][0]["content"] for body in script.bodies]
    assert len({prompt[:7] for prompt in prompts}) == len(prompts) == 4


async def test_thinking_is_text_that_arrives() -> None:
    thought = {"choices": [{"delta": {"reasoning_content": "hm"}, "finish_reason": None}]}
    script = Script(events=[thought, *ANSWER[2:]])
    async with serving(script) as url:
        (level,) = (await bench(url, concurrency=[1], rounds=1)).levels
    assert level.first_token_ms is not None
    assert level.first_token_ms.median < 1000 * (FIRST_S + GAP_S) + 500
    assert level.gap_ms is not None


@pytest.mark.parametrize(
    ("events", "complaint"),
    [
        ([*ANSWER[:2], {"error": {"message": "out of memory"}}], "out of memory"),
        (ANSWER[:3], "the stream ended before the answer did"),
        (ANSWER[:-1], "no usage"),
    ],
)
async def test_a_server_that_never_finishes_an_answer_is_not_measured(
    events: list[dict[str, Any]], complaint: str
) -> None:
    async with serving(Script(events=events)) as url:
        with pytest.raises(SetupError, match=complaint):
            await bench(url, concurrency=[1])


async def test_refused_requests_are_counted_by_what_was_said() -> None:
    async with serving(Script(refuse_after=3)) as url:
        result = await bench(url, concurrency=[4], rounds=1)
    (level,) = result.levels
    assert result.failed
    assert level.errors == {"status 503: the queue is full": 2}
    assert (level.requests, level.completion_tokens) == (4, 24)
    assert "2 × at 4: status 503: the queue is full" in render(result)


async def test_a_stalled_server_is_cut_off_and_the_streams_are_closed() -> None:
    script = Script(stall_after=1)
    async with serving(script) as url:
        result = await bench(url, concurrency=[2], rounds=3, time_limit=0.3)
    (level,) = result.levels
    assert level.requests == sum(level.errors.values()) == 2
    assert level.wall_seconds < 5
    assert level.tokens_per_second == 0


async def test_a_key_is_sent() -> None:
    async with serving(Script(key="sesame")) as url:
        assert (await bench(url, key="sesame", concurrency=[1], rounds=1)).model == "scripted"
        with pytest.raises(SetupError, match=r"check --url, and --key"):
            await bench(url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "127.0.0.1:1", "http://[", "http://x:port"])
async def test_no_server_is_a_sentence(url: str) -> None:
    with pytest.raises(SetupError, match="--url"):
        await bench(url)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"concurrency": []}, "1,4,16"),
        ({"concurrency": [0]}, "1,4,16"),
        ({"concurrency": [1, 5000]}, "from 1 to 256"),
        ({"max_tokens": 0}, "--max-tokens must be at least 1"),
        ({"prompt_tokens": 0}, "--prompt-tokens must be at least 1"),
    ],
)
async def test_nonsense_is_refused(arguments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(SetupError, match=complaint):
        await bench("http://127.0.0.1:1", **arguments)


def figures() -> Iterator[Level]:
    for streams in (1, 16):
        gaps = tuple(milliseconds / 1000 for milliseconds in range(1, 101))
        sample = Sample(duration=2.0, first_token=0.5, gaps=gaps, completion_tokens=101)
        yield Level.of(streams, [sample] * streams, 2.0)


def test_percentiles_and_rates() -> None:
    one, sixteen = figures()
    assert one.gap_ms == Spread(50.5, 95.0, 99.0, 100.0)
    assert one.first_token_ms == Spread(500.0, 500.0, 500.0, 500.0)
    assert (one.tokens_per_second, sixteen.tokens_per_second) == (50.5, 808.0)
    assert sixteen.stream_tokens_per_second == 50.5


def test_the_table_fits_80_columns_and_programs_get_all() -> None:
    result = BenchResult(
        url="http://127.0.0.1:8000/v1",
        model="SmolLM2-135M-Instruct",
        max_tokens=64,
        prompt_tokens=None,
        levels=tuple(figures()),
    )
    lines = render(result).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[-1].split() == [
        "16", "16", "0", "808.0", "50.5", "500", "500", "500", "50.5", "99.0", "100.0"
    ]  # fmt: skip
    assert "Requests without" not in render(result)
    assert json.loads(to_json(result))["levels"][1]["gap_ms"]["p95"] == 95.0
