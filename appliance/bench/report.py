"""A measurement as a table for people and as JSON for programs."""

from __future__ import annotations

import json
from dataclasses import asdict

from appliance.bench.result import BenchResult, Level, Spread

_HEADS = ("at", "", "", "tokens/s", "", "first token, ms", "", "", "gap, ms", "", "")
_NAMES = ("once", "done", "bad", "all", "each", "median", "p95", "worst", "median", "p99", "worst")


def render(result: BenchResult) -> str:
    """A plain-text table of at most 80 columns, and each kind of error once."""
    rows = [_NAMES, *(_cells(level) for level in result.levels)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_NAMES))]
    lines = [_join(row, widths) for row in rows]
    wished = "" if result.prompt_tokens is None else f", prompts of about {result.prompt_tokens}"
    title = f"{result.model} at {result.url}: up to {result.max_tokens} tokens{wished}"
    table = [title, "", _heads(widths), lines[0], "─" * len(lines[0]), *lines[1:]]
    return "\n".join([*table, *_errors(result)])


def to_json(result: BenchResult) -> str:
    """All figures, unrounded; times are in the units that their names end in."""
    return json.dumps(asdict(result), indent=2)


def _cells(level: Level) -> tuple[str, ...]:
    bad = sum(level.errors.values())
    return (
        str(level.concurrency),
        str(level.requests - bad),
        str(bad),
        f"{level.tokens_per_second:.1f}",
        f"{level.stream_tokens_per_second:.1f}",
        *_first_tokens(level.first_token_ms),
        *_gaps(level.gap_ms),
    )


def _first_tokens(spread: Spread | None) -> tuple[str, ...]:
    if spread is None:
        return ("–", "–", "–")
    return tuple(f"{value:.0f}" for value in (spread.median, spread.p95, spread.worst))


def _gaps(spread: Spread | None) -> tuple[str, ...]:
    """There are as many as tokens, so that one in a hundred is a figure worth having."""
    if spread is None:
        return ("–", "–", "–")
    return tuple(f"{value:.1f}" for value in (spread.median, spread.p99, spread.worst))


def _join(row: tuple[str, ...], widths: list[int]) -> str:
    return "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))


def _heads(widths: list[int]) -> str:
    """Each head stands over the columns up to the next head."""
    text = ""
    for column, head in enumerate(_HEADS):
        if head:
            text = text.ljust(sum(widths[:column]) + 2 * column) + head
    return text


def _errors(result: BenchResult) -> list[str]:
    lines = [
        f"  {number} × at {level.concurrency}: {error}"
        for level in result.levels
        for error, number in level.errors.items()
    ]
    return ["", "Requests without a complete answer:", *lines] if lines else []
