"""Keeps a fixed number of streams busy, for each number asked for, within a bound of time."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count, cycle, islice
from typing import Any

import anyio
import httpx2

from appliance.bench.result import BenchResult, Level, Sample
from appliance.bench.stream import measure
from appliance.errors import SetupError

MOST_AT_ONCE = 256
_CONNECT_S = 10.0
_FILLING = (
    "the river runs past an old stone mill where people once ground their grain and now "
    "children play on summer evenings while swallows fly low over the water"
)

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Load:
    """What each request of a run looks like."""

    model: str
    max_tokens: int
    prompt_tokens: int | None
    mark: str

    def body(self, number: int) -> dict[str, Any]:
        """No two prompts begin alike, in no two runs: a cache would answer for the model."""
        prompt = f"{self.mark}{number}: tell me a long story about the number {number}."
        if self.prompt_tokens is not None:
            words = max(0, self.prompt_tokens - len(prompt.split()))
            filling = islice(cycle(_FILLING.split()), words)
            prompt = f"{prompt} Begin with: {' '.join(filling)}"
        return {
            "model": self.model,
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": self.max_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
        }


async def bench(
    url: str,
    *,
    key: str | None = None,
    model: str | None = None,
    concurrency: Sequence[int] = (1, 4, 16),
    max_tokens: int = 64,
    prompt_tokens: int | None = None,
    rounds: int = 3,
    time_limit: float = 120.0,
    progress: Progress | None = None,
) -> BenchResult:
    """Measures the server at `url` (with or without `/v1`) after one request to warm it up.

    Each of `concurrency` streams sends `rounds` requests, one after the other; a level that is
    not done after `time_limit` seconds is cut off, and what was running counts as an error.
    `prompt_tokens` is a length to aim at: the answer says how many they were.
    Raises SetupError when no server answers, or when it cannot answer even once.
    """
    _check(concurrency, max_tokens, prompt_tokens, rounds)
    say = progress or (lambda _: None)
    async with _client(url, key, time_limit) as client:
        name = model or await _first_model(client)
        load = _Load(name, max_tokens, prompt_tokens, mark=secrets.token_hex(3))
        bodies = map(load.body, count(1))
        say("warming up")
        await _warm_up(client, next(bodies), time_limit)
        levels = []
        for streams in concurrency:
            say(f"{streams} at once")
            batch = list(islice(bodies, streams * rounds))
            levels.append(await _level(client, batch, streams, time_limit))
    where = str(client.base_url).rstrip("/")
    return BenchResult(where, load.model, max_tokens, prompt_tokens, tuple(levels))


async def _level(
    client: httpx2.AsyncClient, bodies: list[dict[str, Any]], streams: int, time_limit: float
) -> Level:
    samples: list[Sample] = []
    waiting = iter(bodies)
    running = 0

    async def work() -> None:
        nonlocal running
        # One iterator for all: whoever is done first takes the next.
        for body in waiting:
            running += 1
            samples.append(await measure(client, body))
            running -= 1

    start = time.perf_counter()
    with anyio.move_on_after(time_limit):
        async with anyio.create_task_group() as group:
            for _ in range(streams):
                group.start_soon(work)
    wall = time.perf_counter() - start
    late = f"not finished within {time_limit:g} s"
    samples += [Sample(duration=wall, error=late) for _ in range(running)]
    return Level.of(streams, samples, wall)


async def _warm_up(client: httpx2.AsyncClient, body: dict[str, Any], time_limit: float) -> None:
    """Also the proof that measuring makes sense."""
    error: str | None = f"no answer within {time_limit:g} s"
    with anyio.move_on_after(time_limit):
        error = (await measure(client, body)).error
    if error is not None:
        raise SetupError(
            "The server at %(url)s cannot answer: %(error)s", url=str(client.base_url), error=error
        )


async def _first_model(client: httpx2.AsyncClient) -> str:
    try:
        answer = await client.get("models")
        answer.raise_for_status()
        return str(answer.json()["data"][0]["id"])
    except (httpx2.HTTPError, ValueError, LookupError, TypeError) as error:
        raise SetupError(
            "No OpenAI-compatible server lists its models at %(url)s (%(error)s): check --url, "
            "and --key if it wants one.",
            param="url",
            url=str(client.base_url),
            error=str(error) or type(error).__name__,
        ) from error


def _client(url: str, key: str | None, time_limit: float) -> httpx2.AsyncClient:
    try:
        address = httpx2.URL(url if "://" in url else f"http://{url}")
    except httpx2.InvalidURL as error:
        raise SetupError(
            "--url %(url)s is no address (%(error)s): give one such as http://127.0.0.1:8000.",
            param="url",
            url=url,
            error=str(error),
        ) from error
    path = address.path.rstrip("/")
    base = address.copy_with(path=path if path.endswith("/v1") else f"{path}/v1")
    return httpx2.AsyncClient(
        base_url=base,
        headers={"Authorization": f"Bearer {key}"} if key else {},
        timeout=httpx2.Timeout(time_limit, connect=_CONNECT_S),
        limits=httpx2.Limits(max_connections=None),
        # A proxy between us and this very machine would be measured along with the server.
        trust_env=base.host not in ("127.0.0.1", "localhost", "::1"),
    )


def _check(
    concurrency: Sequence[int], max_tokens: int, prompt_tokens: int | None, rounds: int
) -> None:
    if not concurrency or not all(1 <= streams <= MOST_AT_ONCE for streams in concurrency):
        raise SetupError(
            "--streams must be numbers from 1 to %(most)s, such as 1,4,16.",
            param="streams",
            most=MOST_AT_ONCE,
        )
    for name, value in (("max-tokens", max_tokens), ("rounds", rounds)):
        if value < 1:
            raise SetupError("--%(name)s must be at least 1.", param=name, name=name)
    if prompt_tokens is not None and prompt_tokens < 1:
        raise SetupError("--prompt-tokens must be at least 1.", param="prompt-tokens")
