"""How often an address may present a wrong key."""

from __future__ import annotations

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

from appliance.errors import RateLimited


class LoginTries:
    """Counts the failed logins of each address, so that keys cannot be tried out in a loop."""

    def __init__(self, tries_a_minute: int = 10) -> None:
        self._window = MovingWindowRateLimiter(MemoryStorage())
        self._limit = RateLimitItemPerMinute(tries_a_minute)

    async def check(self, address: str) -> None:
        """Raises RateLimited while `address` has failed too often in the last minute."""
        if not await self._window.test(self._limit, address):
            raise RateLimited("Too many wrong keys. Wait a minute, then try again.", retry_after=60)

    async def failed(self, address: str) -> None:
        await self._window.hit(self._limit, address)
