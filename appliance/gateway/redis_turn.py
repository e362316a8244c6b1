"""Who computes an answer that several fronts want at once: whoever has the lease of its key.

A lease that its front does not renew ends by itself. Without Redis everybody computes.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from appliance.gateway.redis_contact import Contact

if TYPE_CHECKING:
    from redis.asyncio import Redis

LEASE_SECONDS = 8.0
RENEW_SECONDS = 2.0
# Long answers are asked for less and less often.
FIRST_LOOK_SECONDS, LONGEST_LOOK_SECONDS = 0.02, 0.5
RENEW = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('PEXPIRE', KEYS[1], ARGV[2])"
END = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1])"


class Turns:
    """Leases under names that begin with `prefix`. Belongs to one event loop."""

    def __init__(self, contact: Contact, prefix: str) -> None:
        from redis.asyncio import Redis

        self._contact = contact
        self._prefix = prefix
        self._redis: Redis = Redis(connection_pool=contact.pool)
        self._renew = self._redis.register_script(RENEW)
        self._end = self._redis.register_script(END)

    @contextlib.asynccontextmanager
    async def looks(self, key: str) -> AsyncIterator[AsyncIterator[bool]]:
        """Yields, again and again, whether it is our turn; the last is True, and inside it stays
        so. Whoever waits for somebody else's answer looks for it in between."""
        name, token = self._prefix + key, secrets.token_hex(8)
        keeping: list[asyncio.Task[None]] = []

        async def asked() -> AsyncIterator[bool]:
            pause = FIRST_LOOK_SECONDS
            while not await self._is_ours(name, token):
                yield False
                await asyncio.sleep(pause)
                pause = min(LONGEST_LOOK_SECONDS, pause * 1.5)
            keeping.append(asyncio.create_task(self._keep(name, token)))
            yield True

        try:
            yield asked()
        finally:
            for task in keeping:
                task.cancel()
                await asyncio.wait({task})
            # Also where it was taken in the very moment in which we were cancelled.
            self._contact.tell(lambda: self._end(keys=[name], args=[token]))

    async def _is_ours(self, name: str, token: str) -> bool:
        milliseconds = int(LEASE_SECONDS * 1000)

        async def take() -> bool:
            return bool(await self._redis.set(name, token, nx=True, px=milliseconds))

        return await self._contact.ask(take) is not False

    async def _keep(self, name: str, token: str) -> None:
        words: list[str | int] = [token, int(LEASE_SECONDS * 1000)]
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            await self._contact.ask(lambda: self._renew(keys=[name], args=words))
