"""A generation as metrics and traces are told of it: its numbers and names, none of its text."""

from __future__ import annotations

import time

from appliance.engine.config import EngineFacts
from appliance.gateway.asked import Asked
from appliance.gateway.work import Begun
from appliance.observability import context
from appliance.observability.seen import CacheUse, GenerationSeen


def seen(asked: Asked, facts: EngineFacts | None) -> GenerationSeen:
    """To be called at the end. `facts` are the engine's, None while nothing is loaded."""
    request, account, begun = asked.request, asked.account, asked.begun
    endpoint, timings = begun.endpoint if begun else None, account.timings()
    return GenerationSeen(
        id=asked.id,
        operation="text_completion" if request.raw else "chat",
        model=begun.model if begun else facts.model if facts else "",
        provider=facts.backend if facts else "",
        sampling=request.sampling,
        usage=account.usage,
        timings=timings,
        finish_reason=account.finish_reason,
        error=account.error_code,
        cache=_cache_use(begun, asked.cache_key is not None),
        started_at=time.time() - timings.duration_ms / 1000,
        context=context.current(),
        span_id=asked.span_id,
        server=endpoint.url if endpoint else None,
        choices=request.choices,
        conversation_id=asked.origin.conversation_id,
    )


def _cache_use(begun: Begun | None, may_be_kept: bool) -> CacheUse:
    if begun is not None and begun.cached_from is not None:
        return "shared" if begun.endpoint is not None else "hit"
    return "miss" if may_be_kept else "unused"
