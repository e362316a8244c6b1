"""Answers, limits and the queue: of this process, or in common with other fronts, in Redis."""

from __future__ import annotations

import hashlib
import platform
from typing import TYPE_CHECKING

from appliance.gateway.limits import RateLimits
from appliance.gateway.queue import FairQueue, Queue
from appliance.gateway.redis_store import RedisStore, make_pool
from appliance.gateway.store import MemoryStore
from appliance.settings import Settings

if TYPE_CHECKING:
    from redis.asyncio import ConnectionPool


def make_queue(settings: Settings, slots: int) -> Queue:
    limit, per_key = settings.queue_limit, settings.queue_limit_per_key
    if settings.redis_url is None:
        return FairQueue(slots=slots, limit=limit, per_key=per_key)
    from appliance.gateway.redis_queue import SharedQueue

    pool, scope = make_pool(settings.redis_url), engine_scope(settings)
    return SharedQueue(pool, scope=scope, slots=slots, limit=limit, per_key=per_key)


def make_limits(settings: Settings, redis: ConnectionPool | None) -> RateLimits:
    if redis is None or settings.redis_url is None:
        return RateLimits(settings.rate_limit)
    from appliance.gateway.redis_holdings import SharedHoldings

    holdings = SharedHoldings(redis)
    return RateLimits(settings.rate_limit, settings.redis_url, pool=redis, holdings=holdings)


def make_store(settings: Settings, redis: ConnectionPool | None) -> MemoryStore | RedisStore | None:
    if not settings.cache_minutes:
        return None
    seconds, most = settings.cache_minutes * 60, settings.cache_mb * 1_000_000
    if redis is not None:
        scope = engine_scope(settings)
        return RedisStore(redis, scope=scope, seconds=seconds, max_bytes=most)
    return MemoryStore(seconds=seconds, max_bytes=most)


def engine_scope(settings: Settings) -> str:
    """The same for all fronts of one engine: they share a queue, and kept answers.

    Two servers may call different models the same. An engine of our own belongs to the data folder,
    which one appliance uses at a time, on this machine and under this name.
    """
    whose = settings.engine_url
    if whose is None:
        folder = settings.data_dir.resolve()
        whose = f"{platform.node()} {folder} {folder.stat().st_ino}"
    return hashlib.sha256(whose.encode()).hexdigest()[:16]
