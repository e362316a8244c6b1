"""The answer cache as HTTP knows it: `Cache-Control` of a request, `x-cache` of its answer."""

from __future__ import annotations

from fastapi import Request

from appliance.domain import Admitted

HEADER = "x-cache"
FRESH = frozenset({"no-store", "no-cache"})


def may_use_cache(request: Request) -> bool:
    """False when the client wants an answer computed for it, and kept for nobody."""
    given = ",".join(request.headers.getlist("cache-control"))
    return FRESH.isdisjoint(part.strip().lower() for part in given.split(","))


def cache_header(admitted: Admitted) -> dict[str, str]:
    """Whether the answer is given again; if so, how old it is and which request it was made for."""
    if admitted.cached_from is None:
        return {HEADER: "miss"}
    age = int(admitted.cache_age or 0)
    return {HEADER: f"hit; age={age}; request={admitted.cached_from}"}
