"""How often an address may present a wrong key, at the login page and at the APIs together."""

from __future__ import annotations

import math
import time

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

from appliance.errors import RateLimited


class WrongKeys:
    """Counts the wrong keys of each address, so that keys cannot be tried out in a loop."""

    def __init__(self, tries_a_minute: int = 10) -> None:
        self._window = MovingWindowRateLimiter(MemoryStorage())
        self._limit = RateLimitItemPerMinute(tries_a_minute)

    async def check(self, address: str) -> None:
        """Raises RateLimited while `address` was wrong too often in the last minute."""
        if await self._window.test(self._limit, address):
            return
        reset_time = (await self._window.get_window_stats(self._limit, address)).reset_time
        wait = max(1, math.ceil(reset_time - time.time()))
        raise RateLimited(
            "Too many wrong keys from your address. Wait %(seconds)s s, then try again.",
            retry_after=wait,
            seconds=wait,
        )

    async def failed(self, address: str) -> None:
        await self._window.hit(self._limit, address)
