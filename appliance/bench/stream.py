"""One streamed chat completion, timed piece by piece."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx2

from appliance.bench.result import Sample

# Servers differ in what they call thinking; to a reader it is text that arrives.
_TEXT_FIELDS = ("content", "reasoning", "reasoning_content")


class StreamFailed(Exception):
    """The answer is not complete; the text says why."""


@dataclass(slots=True)
class _Stopwatch:
    """Collects arrivals while a stream runs."""

    start: float = field(default_factory=time.perf_counter)
    arrivals: list[float] = field(default_factory=list)
    usage: dict[str, Any] | None = None
    done: bool = False

    def elapsed(self) -> float:
        return time.perf_counter() - self.start

    def take(self, event: dict[str, Any]) -> None:
        """Raises StreamFailed for an error event."""
        if event.get("error"):
            raise StreamFailed(_message(event["error"]))
        self.usage = event.get("usage") or self.usage
        for choice in event.get("choices") or ():
            delta = choice.get("delta") or {}
            if any(delta.get(name) for name in _TEXT_FIELDS):
                self.arrivals.append(self.elapsed())
            self.done = self.done or choice.get("finish_reason") is not None

    def sample(self) -> Sample:
        """Raises StreamFailed when the stream ended too early to count."""
        if not self.done:
            raise StreamFailed("the stream ended before the answer did")
        if self.usage is None:
            raise StreamFailed("the stream carries no usage, so its tokens cannot be counted")
        pairs = zip(self.arrivals, self.arrivals[1:], strict=False)
        return Sample(
            duration=self.elapsed(),
            first_token=self.arrivals[0] if self.arrivals else None,
            gaps=tuple(later - earlier for earlier, later in pairs),
            prompt_tokens=int(self.usage.get("prompt_tokens") or 0),
            completion_tokens=int(self.usage.get("completion_tokens") or 0),
        )


async def measure(client: httpx2.AsyncClient, body: dict[str, Any]) -> Sample:
    """Sends one request and reads it to its end. Failures are in the sample, never raised."""
    watch = _Stopwatch()
    try:
        async with client.stream("POST", "chat/completions", json=body) as answer:
            if not answer.is_success:
                await answer.aread()
                raise StreamFailed(f"status {answer.status_code}: {_refusal(answer)}")
            async for event in _events(answer):
                watch.take(event)
        return watch.sample()
    except (StreamFailed, ValueError) as error:
        return Sample(duration=watch.elapsed(), error=str(error))
    except httpx2.HTTPError as error:
        return Sample(duration=watch.elapsed(), error=str(error) or type(error).__name__)


async def _events(answer: httpx2.Response) -> AsyncIterator[dict[str, Any]]:
    async for line in answer.aiter_lines():
        name, _, value = line.partition(":")
        value = value.strip()
        if name != "data" or value == "[DONE]":
            continue
        event = json.loads(value)
        if not isinstance(event, dict):
            raise StreamFailed(f"an event is not an object: {value[:80]}")
        yield event


def _refusal(answer: httpx2.Response) -> str:
    try:
        return _message(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:200]


def _message(error: object) -> str:
    message = error.get("message") if isinstance(error, dict) else None
    return str(message or error)[:200]
