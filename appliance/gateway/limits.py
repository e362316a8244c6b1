"""How often a caller may ask, in the notation of slowapi and flask-limiter: `60/minute`.

The counting is the `limits` library's (the one slowapi stands on), used directly because a limit
belongs to the gateway, where pages and APIs meet, and not to a route's decorator.
"""

from __future__ import annotations

import time

from limits import parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

from appliance.errors import RateLimited
from appliance.gateway.identity import Caller


class RateLimits:
    """Counts each caller by name; a key's own rate wins over the default for everyone."""

    def __init__(self, default: str | None) -> None:
        self._default = default
        self._window = MovingWindowRateLimiter(MemoryStorage())

    async def check(self, caller: Caller) -> None:
        """Count one request. Raises RateLimited with the seconds until the next is allowed."""
        rate = caller.rate or self._default
        if rate is None:
            return
        limit = parse(rate)
        if await self._window.hit(limit, caller.name):
            return
        reset_time = (await self._window.get_window_stats(limit, caller.name)).reset_time
        wait = max(1.0, reset_time - time.time())
        raise RateLimited(
            "The limit of %(rate)s for %(name)s is used up. Try again in %(seconds)s s.",
            retry_after=wait,
            rate=rate,
            name=caller.name,
            seconds=round(wait),
        )
