"""Our numbers under vLLM's names, so that boards made for vLLM show this appliance too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from appliance.observability.families import Labels, Wanted, gauge, histogram, sums
from appliance.observability.metrics import Metrics
from appliance.observability.readings import Readings
from appliance.observability.tally import Histogram

if TYPE_CHECKING:
    from prometheus_client import Metric

MODEL = "gen_ai_request_model"
# vLLM's word for each of ours; what it has no word for goes under the nearest.
REASONS = {"stop": "stop", "tool_calls": "stop", "length": "length", "cancelled": "abort"}


def aliases(metrics: Metrics, readings: Readings) -> Iterator[Metric]:
    yield from _latencies(metrics)
    yield from _tokens(metrics)
    model = {"model_name": readings.engine.model, "engine": "0"}
    yield gauge(
        "vllm:num_requests_running",
        "Requests that the engine works on.",
        [(model, readings.queue_running)],
    )
    yield gauge(
        "vllm:num_requests_waiting",
        "Requests that wait for a place.",
        [(model, readings.queue_waiting)],
    )
    if (usage := readings.engine.kv_usage) is not None:
        about = "Share of the KV cache that answers under way hold, from 0 to 1."
        yield gauge("vllm:kv_cache_usage_perc", about, [(model, usage)])
    yield _successes(metrics)


def _latencies(metrics: Metrics) -> Iterator[Metric]:
    for name, tally in (
        ("vllm:e2e_request_latency_seconds", metrics.latencies.duration),
        ("vllm:time_to_first_token_seconds", metrics.latencies.first_token),
        ("vllm:inter_token_latency_seconds", metrics.latencies.per_token),
        ("vllm:time_per_output_token_seconds", metrics.latencies.per_token),
        ("vllm:request_queue_time_seconds", metrics.phases.queue),
        ("vllm:request_prefill_time_seconds", metrics.phases.prefill),
        ("vllm:request_decode_time_seconds", metrics.phases.decode),
    ):
        yield histogram(tally, name, _answered)


def _tokens(metrics: Metrics) -> Iterator[Metric]:
    for kind, total, each in (
        ("input", "vllm:prompt_tokens", "vllm:request_prompt_tokens"),
        ("output", "vllm:generation_tokens", "vllm:request_generation_tokens"),
    ):
        yield histogram(metrics.tokens.used, each, _of_kind(kind))
        yield sums(total, f"Tokens of {kind}.", _totals(metrics.tokens.used, kind))
    queries = _totals(metrics.tokens.used, "input")
    yield sums("vllm:prefix_cache_queries", "Prompt tokens looked up.", queries)
    found = [
        (_as_vllm(dict(zip(metrics.tokens.cached.labels, values, strict=True))), total)
        for values, total in metrics.tokens.cached.series()
    ]
    yield sums("vllm:prefix_cache_hits", "Prompt tokens found computed already.", found)


def _successes(metrics: Metrics) -> Metric:
    """vLLM counts by its own three reasons, so ours that share one are added up."""
    added: dict[tuple[tuple[str, str], ...], float] = {}
    for values, total in metrics.finished.series():
        labels = dict(zip(metrics.finished.labels, values, strict=True))
        reason = REASONS.get(labels.pop("finish_reason"))
        if reason is not None:
            shown = tuple({**_as_vllm(labels), "finished_reason": reason}.items())
            added[shown] = added.get(shown, 0) + total
    return sums(
        "vllm:request_success",
        "Answers that came to their end.",
        [(dict(shown), total) for shown, total in added.items()],
    )


def _totals(tally: Histogram, kind: str) -> list[tuple[Labels, float]]:
    rows: list[tuple[Labels, float]] = []
    for values, seen in tally.series():
        labels = _of_kind(kind)(dict(zip(tally.labels, values, strict=True)))
        if labels is not None:
            rows.append((labels, seen.sum))
    return rows


def _of_kind(kind: str) -> Wanted:
    def shown(labels: Labels) -> Labels | None:
        rest = dict(labels)
        return _as_vllm(rest) if rest.pop("gen_ai_token_type") == kind else None

    return shown


def _answered(labels: Labels) -> Labels | None:
    """Failures have no place in vLLM's latencies."""
    rest = dict(labels)
    return None if rest.pop("error_type", "") else _as_vllm(rest)


def _as_vllm(labels: Labels) -> Labels:
    """vLLM's two labels first; ours stay behind them, so that no two series fall together."""
    rest = dict(labels)
    return {"model_name": rest.pop(MODEL), "engine": "0", **rest}
