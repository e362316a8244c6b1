"""A generation as metrics and traces are told of it: its numbers and names, none of its text."""

from __future__ import annotations

import time

from appliance.domain import GenerationRequest
from appliance.engine.config import EngineFacts
from appliance.gateway.account import Account
from appliance.gateway.work import Begun
from appliance.observability import context
from appliance.observability.seen import CacheUse, GenerationSeen


def seen(
    generation_id: str,
    request: GenerationRequest,
    account: Account,
    facts: EngineFacts | None,
    begun: Begun | None,
    may_be_kept: bool,
) -> GenerationSeen:
    """`begun` and `facts` are None where it did not come so far. To be called at the end."""
    timings = account.timings()
    return GenerationSeen(
        id=generation_id,
        operation="text_completion" if request.raw else "chat",
        model=begun.model if begun else facts.model if facts else "",
        provider=facts.backend if facts else "",
        sampling=request.sampling,
        usage=account.usage,
        timings=timings,
        finish_reason=account.finish_reason,
        error=account.error_code,
        cache=_cache_use(begun, may_be_kept),
        started_at=time.time() - timings.duration_ms / 1000,
        context=context.current(),
    )


def _cache_use(begun: Begun | None, may_be_kept: bool) -> CacheUse:
    if begun is not None and begun.cached_from is not None:
        return "shared" if begun.endpoint is not None else "hit"
    return "miss" if may_be_kept else "unused"
