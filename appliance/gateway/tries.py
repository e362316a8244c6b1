"""How often an address may present a wrong key, at the login page and at the APIs together.

Counted in memory, or where several fronts count together.
"""

from __future__ import annotations

import math
import time
from typing import Any

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

from appliance.errors import RateLimited
from appliance.gateway.redis_contact import Contact, Counting

Window = MovingWindowRateLimiter


class WrongKeys:
    """Counts the wrong keys of each address, so that keys cannot be tried out in a loop.

    `storage` is one of `limits` that `contact` leads to; without one, this process counts alone.
    """

    def __init__(
        self, storage: Any = None, contact: Contact | None = None, tries_a_minute: int = 10
    ) -> None:
        shared = None if storage is None else Window(storage)
        self._counting = Counting(Window(MemoryStorage()), shared, contact)
        self._limit = RateLimitItemPerMinute(tries_a_minute)

    async def check(self, address: str) -> None:
        """Raises RateLimited while `address` was wrong too often in the last minute."""
        name = ("wrong keys", address)
        if await self._counting.ask(lambda window: window.test(self._limit, *name)):
            return
        stats = await self._counting.ask(lambda window: window.get_window_stats(self._limit, *name))
        wait = max(1, math.ceil(stats.reset_time - time.time()))
        raise RateLimited(
            "Too many wrong keys from your address. Wait %(seconds)s s, then try again.",
            retry_after=wait,
            seconds=wait,
        )

    async def failed(self, address: str) -> None:
        await self._counting.ask(lambda window: window.hit(self._limit, "wrong keys", address))
