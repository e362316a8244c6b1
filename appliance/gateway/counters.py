"""Counting requests and tokens over time, in memory or in Redis.

Requests are the `limits` library's (the one slowapi stands on). Tokens are counted afterwards and
may go beyond a limit, which its strategies do not allow, so they have a window of their own on the
same storage: the sliding window made of two counters, this minute's and the last one's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

read_rate: Callable[[str], RateLimitItem] = lru_cache(maxsize=1024)(parse)


def redis_storage(pool: Any) -> Any:
    """A storage of `limits` in the Redis that these connections lead to."""
    from limits.aio.storage import RedisStorage

    # Its own default is a client that is one package more. The address is that of the pool.
    return RedisStorage("async+redis://", implementation="redispy", connection_pool=pool)


class Counters:
    """Requests and tokens by whom they are counted as. `storage` is one of `limits`, memory of its
    own by default; `clock` counts seconds since 1970."""

    def __init__(self, storage: Any = None, clock: Callable[[], float] = time.time) -> None:
        self._storage = storage or MemoryStorage()
        self._clock = clock
        self._requests = MovingWindowRateLimiter(self._storage)

    async def hit(self, rate: str, whose: str) -> bool:
        """Count a request; False, and not counted, when it is one too many."""
        return await self._requests.hit(read_rate(rate), whose)

    async def requests_left(self, rate: str, whose: str) -> tuple[int, float]:
        """How many requests are left, and the seconds until one more is."""
        reset, left = await self._requests.get_window_stats(read_rate(rate), whose)
        return left, max(0.0, reset - self._clock())

    async def tokens(self, whose: str, window: int) -> int:
        """Tokens of the last `window` seconds, as evenly as they may have come in the older."""
        now, past = await self._now_and_past(whose, window)
        return now + int(past * (1 - self._clock() / window % 1))

    async def add_tokens(self, whose: str, window: int, count: int) -> None:
        if count > 0:
            key = _key(whose, window, int(self._clock() // window))
            await self._storage.incr(key, 2 * window, amount=count)

    async def until_room(self, whose: str, window: int, most: float) -> float:
        """Seconds until no more than `most` tokens are counted, if none are added."""
        now, past = await self._now_and_past(whose, window)
        gone = self._clock() / window % 1
        if now <= most:
            # This window's stay; of the past one's so much has to fade.
            fraction = 1 - (most - now) / past if past else 0.0
            return max(0.0, fraction - gone) * window
        return (1 - gone + 1 - most / now) * window

    async def _now_and_past(self, whose: str, window: int) -> tuple[int, int]:
        index = int(self._clock() // window)
        now = await self._storage.get(_key(whose, window, index))
        return now, await self._storage.get(_key(whose, window, index - 1))


def _key(whose: str, window: int, index: int) -> str:
    return f"tokens/{whose}/{window}/{index}"
