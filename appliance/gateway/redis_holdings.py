"""What callers hold at all fronts together: leases in Redis, which their front renews.

What a dead front held is free again when its leases end.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from appliance.gateway.holdings import Holding, Holdings
from appliance.gateway.redis_contact import Contact
from appliance.gateway.redis_hall import BEAT_SECONDS, LEASE_SECONDS

if TYPE_CHECKING:
    from redis.asyncio import Redis

# The number is that of the format.
PREFIX = "appliance:held:1:"
NO_LIMIT = 2**53
# Members are `id:amount`, and the score is when the lease ends. Without a member it only counts.
TAKE = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local held = tonumber(ARGV[2])
for _, one in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  held = held + string.match(one, '%d+$')
end
if held > tonumber(ARGV[3]) then return -1 end
if ARGV[1] ~= '' then
  redis.call('ZADD', KEYS[1], now + ARGV[4], ARGV[1])
  redis.call('EXPIRE', KEYS[1], ARGV[4])
end
return held
"""


class SharedHoldings(Holdings):
    """Those of all that have the same Redis; of this process alone while it is away."""

    def __init__(self, contact: Contact) -> None:
        from redis.asyncio import Redis

        super().__init__()
        self._redis: Redis = Redis(connection_pool=contact.pool)
        self._take = self._redis.register_script(TAKE)
        self._contact = contact
        self._removing: set[asyncio.Task[int | None]] = set()

    async def take(self, holding: Holding, most: int | None = None) -> int | None:
        total = await self._asked(holding.key, _member(holding), holding.amount, most)
        if total is None:
            return await super().take(holding, most)
        if total < 0:
            return None
        self._note(holding)
        return total

    async def total(self, key: str) -> int:
        total = await self._asked(key, "", 0)
        return self._total(key) if total is None else total

    def give_back(self, holding: Holding) -> None:
        super().give_back(holding)
        # In a task of its own: whoever is cancelled must not wait.
        task = asyncio.create_task(self._contact.ask(lambda: self._remove(holding)))
        self._removing.add(task)
        task.add_done_callback(self._removing.discard)

    async def settled(self) -> None:
        if self._removing:
            await asyncio.wait(self._removing)

    async def keep(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            await self._contact.ask(self._renew)

    async def _renew(self) -> bool:
        """Also what Redis has forgotten, or what was taken without it, is there afterwards."""
        held = list(self._all())
        seconds, micros = await self._redis.time()
        ends = seconds + micros / 1e6 + LEASE_SECONDS
        pipe = self._redis.pipeline(transaction=False)
        for one in held:
            pipe.zadd(PREFIX + one.key, {_member(one): ends})
            pipe.expire(PREFIX + one.key, int(LEASE_SECONDS) + 1)
        await pipe.execute()
        # What was given back meanwhile has just been taken anew.
        for one in set(held).difference(self._all()):
            await self._remove(one)
        return True

    async def _remove(self, holding: Holding) -> int:
        removed: int = await self._redis.zrem(PREFIX + holding.key, _member(holding))
        return removed

    async def _asked(
        self, key: str, member: str, amount: int, most: int | None = None
    ) -> int | None:
        await self.settled()
        limit = NO_LIMIT if most is None else most
        words: list[str | int] = [member, amount, limit, int(LEASE_SECONDS)]

        async def work() -> int:
            return int(await self._take(keys=[PREFIX + key], args=words))

        return await self._contact.ask(work)


def _member(holding: Holding) -> str:
    return f"{holding.id}:{holding.amount}"
