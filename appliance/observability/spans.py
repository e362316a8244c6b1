"""What was seen of requests and generations as spans, in OTLP's JSON.

Names are OpenTelemetry's: HTTP's, and those of the GenAI conventions. Numbers, ids and names that
we choose alone: no text, no key, no address of a client.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from appliance.observability.context import RequestContext, new_span_id
from appliance.observability.seen import GenerationSeen, RequestSeen

Span = dict[str, Any]
Attributes = Mapping[str, Any]

INTERNAL, SERVER, CLIENT = 1, 2, 3
FAILED = {"code": 2}
_SAMPLED = 1
_SAMPLING = ("max_tokens", "temperature", "top_p", "top_k", "seed")
_PENALTIES = ("presence_penalty", "frequency_penalty")


def request_spans(seen: RequestSeen) -> list[Span]:
    """One span; none for a trace that its caller has dropped, or where spans are not recorded."""
    context = seen.context
    if context is None or context.span_id is None or not context.sampled:
        return []
    failed = seen.status >= 500
    attributes = {
        "http.request.method": seen.method,
        "http.route": seen.route,
        "http.response.status_code": seen.status,
        "error.type": str(seen.status) if failed else None,
        "appliance.request.id": context.request_id,
    }
    times = (seen.started_at, seen.started_at + seen.seconds)
    name = f"{seen.method} {seen.route}"
    span = _span(context, context.span_id, context.parent_span_id, name, SERVER, times, attributes)
    return [span | {"status": FAILED}] if failed else [span]


def generation_spans(seen: GenerationSeen) -> list[Span]:
    """A generation's span below its request's, and one for each of its phases."""
    context = seen.context
    if context is None or context.span_id is None or seen.span_id is None or not context.sampled:
        return []
    worked = seen.server is not None and seen.cache not in ("hit", "shared")
    times = (seen.started_at, seen.started_at + seen.timings.duration_ms / 1000)
    span = _span(
        context,
        seen.span_id,
        context.span_id,
        f"{seen.operation} {seen.model}".rstrip(),
        CLIENT if worked else INTERNAL,
        times,
        _about(seen) | (_where(seen.server or "") if worked else {}),
    )
    if seen.error is not None:
        span["status"] = FAILED
    phases = _phases(seen) if worked else ()
    return [
        span,
        *(
            _span(context, new_span_id(), seen.span_id, name, INTERNAL, (begin, end), {})
            for name, begin, end in phases
        ),
    ]


def encoded(spans: list[Span], resource: Attributes, version: str) -> dict[str, Any]:
    """An ExportTraceServiceRequest."""
    scope = {"name": "appliance", "version": version}
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": _pairs(resource)},
                "scopeSpans": [{"scope": scope, "spans": spans}],
            }
        ]
    }


def _about(seen: GenerationSeen) -> dict[str, Any]:
    usage, first = seen.usage, seen.timings.ttft_ms
    found: dict[str, Any] = {
        "gen_ai.operation.name": seen.operation,
        "gen_ai.provider.name": seen.provider or "appliance",
        "gen_ai.request.model": seen.model or None,
        "gen_ai.request.choice.count": seen.choices if seen.choices > 1 else None,
        "gen_ai.response.id": seen.id,
        "gen_ai.response.model": seen.model if seen.error is None else None,
        "gen_ai.response.finish_reasons": [seen.finish_reason],
        "gen_ai.response.time_to_first_chunk": None if first is None else first / 1000,
        "gen_ai.conversation.id": seen.conversation_id,
        "error.type": seen.error,
        "appliance.cache": seen.cache,
    }
    for name in (*_SAMPLING, *_PENALTIES):
        found[f"gen_ai.request.{name}"] = getattr(seen.sampling, name)
    if usage is not None:
        found |= {
            "gen_ai.usage.input_tokens": usage.prompt_tokens,
            "gen_ai.usage.output_tokens": usage.completion_tokens,
            "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
            "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
        }
    return found


def _where(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return {"server.address": parts.hostname, "server.port": port}


def _phases(seen: GenerationSeen) -> Iterator[tuple[str, float, float]]:
    """Waiting for a place, reading the prompt, writing the answer: as far as it came."""
    begin, timings = seen.started_at, seen.timings
    placed, end = begin + timings.queue_ms / 1000, begin + timings.duration_ms / 1000
    first = None if timings.ttft_ms is None else max(placed, begin + timings.ttft_ms / 1000)
    yield "queue", begin, placed
    yield "prefill", placed, end if first is None else first
    if first is not None:
        yield "decode", first, end


def _span(
    context: RequestContext,
    span_id: str,
    parent: str | None,
    name: str,
    kind: int,
    times: tuple[float, float],
    attributes: Attributes,
) -> Span:
    begin, end = (str(round(moment * 1e9)) for moment in times)
    span: Span = {"traceId": context.trace_id, "spanId": span_id, "flags": _SAMPLED}
    if parent is not None:
        span["parentSpanId"] = parent
    span |= {"name": name, "kind": kind, "startTimeUnixNano": begin, "endTimeUnixNano": end}
    return span | {"attributes": _pairs(attributes)}


def _pairs(attributes: Attributes) -> list[dict[str, Any]]:
    """OTLP's form; what is None is left out."""
    return [
        {"key": key, "value": _value(value)}
        for key, value in attributes.items()
        if value is not None
    ]


def _value(value: Any) -> dict[str, Any]:
    """JSON's own numbers would lose the whole ones beyond 53 bits, so OTLP writes those as text."""
    match value:
        case list():
            return {"arrayValue": {"values": [_value(one) for one in value]}}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case _:
            return {"stringValue": str(value)}
