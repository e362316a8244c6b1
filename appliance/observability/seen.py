"""What metrics and traces are told of a request once it is over: numbers and names, no content."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from appliance.domain import Sampling, Timings, Usage
from appliance.observability.context import RequestContext

CacheUse = Literal["hit", "shared", "miss", "unused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationSeen:
    """One generation, whatever became of it.

    `error` is an error's stable code. `cache`: `hit` was kept, `shared` followed an identical
    request, `unused` was not one that may be kept. `started_at` is in seconds since 1970.
    `server` is the engine's URL, None where no engine worked for this answer.
    """

    id: str
    operation: Literal["chat", "text_completion"]
    model: str
    provider: str
    sampling: Sampling
    usage: Usage | None
    timings: Timings
    finish_reason: str
    error: str | None
    cache: CacheUse
    started_at: float
    context: RequestContext | None
    span_id: str | None = None
    server: str | None = None
    choices: int = 1
    conversation_id: str | None = None

    @property
    def time_per_output_token(self) -> float | None:
        """Mean seconds between tokens after the first; None where fewer than two came."""
        first, usage = self.timings.ttft_ms, self.usage
        if first is None or usage is None or usage.completion_tokens < 2:
            return None
        return (self.timings.duration_ms - first) / 1000 / (usage.completion_tokens - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSeen:
    """One HTTP request. `route` is the pattern that matched, never the address itself.

    `started_at` is in seconds since 1970.
    """

    method: str
    route: str
    status: int
    seconds: float
    started_at: float = 0.0
    context: RequestContext | None = None
