"""What a measurement says. All times are seconds here; `Spread`s are milliseconds."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One request. `gaps` are the waits between two pieces of text, as a reader sees them.

    Tokens are the server's own count (`usage`): one piece of text may hold several tokens.
    """

    duration: float
    first_token: float | None = None
    gaps: tuple[float, ...] = ()
    prompt_tokens: int = 0
    completion_tokens: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Spread:
    """Milliseconds: half of the values, 95 and 99 of 100, are at most so much."""

    median: float
    p95: float
    p99: float
    worst: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Spread | None:
        """Nearest-rank percentiles; None of nothing."""
        if not seconds:
            return None
        ordered = sorted(1000 * value for value in seconds)

        def percentile(percent: int) -> float:
            return ordered[math.ceil(percent * len(ordered) / 100) - 1]

        return cls(statistics.median(ordered), percentile(95), percentile(99), ordered[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """All requests of one number at once.

    `tokens_per_second` is the whole server's: tokens of good answers over wall time, prefill
    and waiting included. `stream_tokens_per_second` is the median of what one user gets.
    """

    concurrency: int
    requests: int
    errors: Mapping[str, int]
    wall_seconds: float
    prompt_tokens: int
    completion_tokens: int
    tokens_per_second: float
    stream_tokens_per_second: float
    first_token_ms: Spread | None
    gap_ms: Spread | None

    @classmethod
    def of(cls, concurrency: int, samples: Sequence[Sample], wall: float) -> Level:
        good = [sample for sample in samples if sample.error is None]
        tokens = sum(sample.completion_tokens for sample in good)
        firsts = [sample.first_token for sample in good if sample.first_token is not None]
        rates = [sample.completion_tokens / sample.duration for sample in good if sample.duration]
        return cls(
            concurrency=concurrency,
            requests=len(samples),
            errors=Counter(sample.error for sample in samples if sample.error is not None),
            wall_seconds=wall,
            prompt_tokens=sum(sample.prompt_tokens for sample in good),
            completion_tokens=tokens,
            tokens_per_second=tokens / wall if wall else 0.0,
            stream_tokens_per_second=statistics.median(rates) if rates else 0.0,
            first_token_ms=Spread.of(firsts),
            gap_ms=Spread.of([gap for sample in good for gap in sample.gaps]),
        )


@dataclass(frozen=True, slots=True)
class BenchResult:
    """One run against one server. `prompt_tokens` is what was aimed at, None for a short prompt."""

    url: str
    model: str
    max_tokens: int
    prompt_tokens: int | None
    levels: tuple[Level, ...]

    @property
    def failed(self) -> bool:
        """Some request got no complete answer."""
        return any(level.errors for level in self.levels)
