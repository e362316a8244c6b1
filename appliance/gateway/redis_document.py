"""One text in Redis that several processes change: read, changed, written if nobody else has.

Whoever comes second reads again: no lock that somebody could die with.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.gateway.redis_contact import cancellable, close

if TYPE_CHECKING:
    from redis.asyncio import ConnectionPool, Redis

# Of an appliance that is not used any more nothing stays for ever.
FORGOTTEN_SECONDS = 3600
LISTEN_SECONDS = 60.0
# A stamp is drawn anew each time: counting would begin again when Redis has lost everything.
WRITE = """
if (redis.call('HGET', KEYS[1], 'stamp') or '') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'stamp', ARGV[2], 'text', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
for i = 5, #ARGV do redis.call('PUBLISH', ARGV[i], '') end
return 1
"""


@dataclass(frozen=True, slots=True)
class Edition:
    """The text as somebody wrote it, None for nobody; `now` is Redis' clock, in seconds."""

    stamp: bytes
    text: bytes | None
    now: float


class SharedDocument:
    """The text under `name`. Every call may raise RedisError or OSError."""

    def __init__(self, pool: ConnectionPool, name: str) -> None:
        from redis.asyncio import Redis

        self.pool = pool
        self._redis: Redis = Redis(connection_pool=pool)
        self._name = name
        self._write = self._redis.register_script(WRITE)

    async def read(self) -> Edition:
        asking = self._redis.pipeline(transaction=False)
        asking.time()
        asking.hmget(self._name, "stamp", "text")
        (seconds, micros), (stamp, text) = await asking.execute()
        return Edition(stamp or b"", text, seconds + micros / 1e6)

    async def write(self, before: Edition, text: bytes, to: Iterable[str] = ()) -> bool:
        """In place of what was read, with a word to some; False when that has changed."""
        channels = [f"{self._name}:{one}" for one in to]
        stamp = secrets.token_bytes(8)
        words: list[bytes | int | str] = [before.stamp, stamp, text, FORGOTTEN_SECONDS, *channels]
        return bool(await self._write(keys=[self._name], args=words))

    async def close(self) -> None:
        await close(self.pool)

    async def listen(self, to: str, heard: Callable[[], None]) -> None:
        """`heard` is called when it begins to listen, and for each word; never ends by itself."""
        async with self._redis.pubsub() as news:
            await cancellable(news.subscribe(f"{self._name}:{to}"))
            while True:
                if await cancellable(news.get_message(timeout=LISTEN_SECONDS)):
                    heard()
