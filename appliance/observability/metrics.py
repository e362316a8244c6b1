"""What is counted while requests are served, under OpenTelemetry's names in Prometheus' spelling.

Receives what was seen; knows neither gateway nor engine. Labels take their values from sets that
we choose: no key, no address and no text of a client's ever becomes one.
"""

from __future__ import annotations

from typing import get_args

from appliance.domain import Timings, Usage
from appliance.observability.seen import CacheUse, GenerationSeen, RequestSeen
from appliance.observability.tally import Counter, Histogram

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

# OpenTelemetry's advice ends at 10 s and 82 s, where a laptop with a queue has only begun.
_SLOW = (20.0, 40.0, 80.0, 160.0, 320.0)
DURATION_BOUNDS = (*(round(0.01 * 2**n, 2) for n in range(14)), 160.0, 320.0)
FIRST_TOKEN_BOUNDS = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
    *_SLOW,
)
PER_TOKEN_BOUNDS = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5),
    *(5.0, 10.0, *_SLOW),
)
TOKEN_BOUNDS = tuple(float(4**n) for n in range(11))
HTTP_BOUNDS = (0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 40.0, 160.0, 320.0)

_WHICH = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")
Which = tuple[str, str, str]  # the values of these labels


class Latencies:
    """How long requests take, as whoever asked feels it."""

    def __init__(self) -> None:
        self.duration = Histogram(
            "gen_ai_server_request_duration_seconds",
            "From a request's arrival to its last token.",
            (*_WHICH, "error_type"),
            DURATION_BOUNDS,
        )
        self.first_token = Histogram(
            "gen_ai_server_time_to_first_token_seconds",
            "From a request's arrival to its first token.",
            _WHICH,
            FIRST_TOKEN_BOUNDS,
        )
        self.per_token = Histogram(
            "gen_ai_server_time_per_output_token_seconds",
            "Between tokens after the first, as a mean of each answer.",
            _WHICH,
            PER_TOKEN_BOUNDS,
        )

    def observe(self, seen: GenerationSeen, which: Which) -> None:
        timings = seen.timings
        self.duration.observe(timings.duration_ms / 1000, *which, seen.error or "")
        if timings.ttft_ms is None:
            return
        self.first_token.observe(timings.ttft_ms / 1000, *which)
        if (pause := seen.time_per_output_token) is not None:
            self.per_token.observe(pause, *which)


class Phases:
    """What a request's time is spent on, one after the other."""

    def __init__(self) -> None:
        self.queue = Histogram(
            "appliance_queue_wait_seconds",
            "How long a request waited for its place at the engine.",
            _WHICH,
            FIRST_TOKEN_BOUNDS,
        )
        self.prefill = Histogram(
            "appliance_prefill_seconds",
            "From the place at the engine to the first token.",
            _WHICH,
            FIRST_TOKEN_BOUNDS,
        )
        self.decode = Histogram(
            "appliance_decode_seconds",
            "From the first token to the last.",
            _WHICH,
            DURATION_BOUNDS,
        )

    def observe(self, timings: Timings, which: Which) -> None:
        """Only of answers that have begun: a refusal says nothing of how long they take."""
        if timings.ttft_ms is None:
            return
        self.queue.observe(timings.queue_ms / 1000, *which)
        self.prefill.observe(max(0.0, timings.ttft_ms - timings.queue_ms) / 1000, *which)
        self.decode.observe((timings.duration_ms - timings.ttft_ms) / 1000, *which)


class Tokens:
    """What goes into the engine and comes out of it."""

    def __init__(self) -> None:
        self.used = Histogram(
            "gen_ai_client_token_usage",
            "Tokens of each answer's input and output.",
            (*_WHICH, "gen_ai_token_type"),
            TOKEN_BOUNDS,
        )
        self.cached = Counter(
            "appliance_prefix_cache_hit_tokens",
            "Prompt tokens that the engine found computed already.",
            _WHICH,
        )

    def observe(self, usage: Usage, which: Which) -> None:
        self.used.observe(usage.prompt_tokens, *which, "input")
        self.used.observe(usage.completion_tokens, *which, "output")
        self.cached.add(*which, amount=usage.cached_tokens)


class Metrics:
    """All tallies. Feeding them never raises and never waits."""

    def __init__(self) -> None:
        self.latencies, self.phases, self.tokens = Latencies(), Phases(), Tokens()
        self.finished = Counter(
            "appliance_generations",
            "Generations that are over, by what ended them.",
            (*_WHICH, "finish_reason"),
        )
        self.refused = Counter(
            "appliance_refused", "Generations that ended with an error, by its code.", ("reason",)
        )
        self.cache = Counter(
            "appliance_cache_requests",
            "Generations by what the answer cache did for them.",
            ("result",),
        )
        self.http = Histogram(
            "http_server_request_duration_seconds",
            "HTTP requests, by the pattern of their route.",
            ("http_request_method", "http_route", "http_response_status_code"),
            HTTP_BOUNDS,
        )
        # A share of nothing is a share too: boards need each result from the beginning.
        for result in get_args(CacheUse):
            self.cache.add(result, amount=0)

    def generation(self, seen: GenerationSeen) -> None:
        """Answers out of the cache are counted as such alone: no model has worked for them."""
        which = (seen.operation, seen.provider, seen.model)
        self.cache.add(seen.cache)
        if seen.error is not None:
            self.refused.add(seen.error)
        if seen.cache in ("hit", "shared"):
            return
        self.finished.add(*which, seen.finish_reason)
        self.latencies.observe(seen, which)
        self.phases.observe(seen.timings, which)
        if seen.usage is not None:
            self.tokens.observe(seen.usage, which)

    def request(self, seen: RequestSeen) -> None:
        method = seen.method if seen.method in METHODS else "_OTHER"
        self.http.observe(seen.seconds, method, seen.route, str(seen.status))
