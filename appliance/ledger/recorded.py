"""The facts that a generation's row may have besides the usual ones. All are optional."""

from __future__ import annotations

from typing import Any, TypedDict

from appliance.domain import Timings, Usage


class Notes(TypedDict, total=False):
    """Known when the engine is asked. `input_bytes`: UTF-8 bytes of what was asked.

    `seed` is what the engine draws by; `model_hash` is the SHA-256 of the model's files.
    """

    dialect: str | None
    conversation_id: str | None
    assistant: str | None
    replay_of: str | None
    seed: int | None
    engine_version: str | None
    input_bytes: int
    trace_id: str | None


class Measured(TypedDict, total=False):
    """Known at the end, or not yet when it was asked.

    `queue_place`: how many were waiting before it when it came (0: nobody). `output_bytes`: UTF-8
    bytes of answer, thinking and calls; `joules`: its share of what the card has used.
    """

    model: str
    precision: str
    engine: str
    engine_version: str | None
    parameters: dict[str, Any]
    seed: int
    queue_place: int | None
    output_bytes: int
    model_hash: str | None
    joules: float | None


def counted(usage: Usage | None, timings: Timings) -> dict[str, Any]:
    """Tokens and milliseconds as columns."""
    return {
        "prompt_tokens": usage and usage.prompt_tokens,
        "cached_tokens": usage and usage.cached_tokens,
        "completion_tokens": usage and usage.completion_tokens,
        "reasoning_tokens": usage and usage.reasoning_tokens,
        "queue_ms": rounded(timings.queue_ms),
        "ttft_ms": rounded(timings.ttft_ms),
        "duration_ms": rounded(timings.duration_ms),
        "tpot_ms": rounded(_per_token(usage, timings), 3),
    }


def rounded(value: float | None, digits: int = 1) -> float | None:
    return None if value is None else round(value, digits)


def _per_token(usage: Usage | None, timings: Timings) -> float | None:
    """Milliseconds from one token to the next, on average; the first has no one before it."""
    if usage is None or timings.ttft_ms is None or usage.completion_tokens < 2:
        return None
    return (timings.duration_ms - timings.ttft_ms) / (usage.completion_tokens - 1)
