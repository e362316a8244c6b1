"""Answers, limits and the queue: of this process, or in common with other fronts, in Redis."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import dataclass

from appliance.gateway.cache import AnswerCache
from appliance.gateway.counters import Counters, redis_storage
from appliance.gateway.limits import RateLimits
from appliance.gateway.queue import FairQueue, Queue
from appliance.gateway.redis_contact import Contact, Counting, make_pool
from appliance.gateway.redis_store import RedisStore
from appliance.gateway.store import AnswerStore, MemoryStore
from appliance.gateway.tries import WrongKeys
from appliance.settings import Settings

WITHOUT = "answers are computed each time, and this front counts by itself"


@dataclass(frozen=True, slots=True)
class InCommon:
    """`redis` is None where all of it is of this process."""

    redis: Contact | None
    queue: Queue
    limits: RateLimits
    tries: WrongKeys
    store: MemoryStore | RedisStore | None
    cache: AnswerCache | None


def make_in_common(settings: Settings, slots: int, house: str) -> InCommon:
    """`slots` at the engine until it says how many it has. All fronts of a data folder know its
    owner by one name, its `house`."""
    redis = make_contact(settings)
    store = make_store(settings, redis)
    return InCommon(
        redis=redis,
        queue=make_queue(settings, slots),
        limits=make_limits(settings, redis),
        tries=make_tries(redis),
        store=store,
        cache=make_cache(settings, store, house),
    )


def make_contact(settings: Settings) -> Contact | None:
    """For everything but the queue, which must not wait behind it."""
    if settings.redis_url is None:
        return None
    return Contact(make_pool(settings.redis_url), WITHOUT)


def make_queue(settings: Settings, slots: int) -> Queue:
    limit, per_key = settings.queue_limit, settings.queue_limit_per_key
    if settings.redis_url is None:
        return FairQueue(slots=slots, limit=limit, per_key=per_key)
    from appliance.gateway.redis_queue import SharedQueue

    pool, scope = make_pool(settings.redis_url), engine_scope(settings)
    return SharedQueue(pool, scope=scope, slots=slots, limit=limit, per_key=per_key)


def make_limits(settings: Settings, redis: Contact | None) -> RateLimits:
    if redis is None:
        return RateLimits(settings.rate_limit)
    from appliance.gateway.redis_holdings import SharedHoldings

    counting = Counting(Counters(), Counters(redis_storage(redis.pool)), redis)
    return RateLimits(settings.rate_limit, counting, SharedHoldings(redis))


def make_tries(redis: Contact | None) -> WrongKeys:
    return WrongKeys() if redis is None else WrongKeys(redis_storage(redis.pool), redis)


def make_store(settings: Settings, redis: Contact | None) -> MemoryStore | RedisStore | None:
    if not settings.cache_minutes:
        return None
    seconds, most = settings.cache_minutes * 60, settings.cache_mb * 1_000_000
    if redis is not None:
        scope = engine_scope(settings)
        return RedisStore(redis, scope=scope, seconds=seconds, max_bytes=most)
    return MemoryStore(seconds=seconds, max_bytes=most)


def make_cache(settings: Settings, store: AnswerStore | None, house: str) -> AnswerCache | None:
    if store is None:
        return None
    return AnswerCache(store, shared=settings.cache_shared, house=house)


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
