"""The one way to speak to Redis: with bounded patience, left alone for a while after a failure.

Redis may be slow, full or gone at any time. Whoever asks has a way to do without.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from redis.asyncio import ConnectionPool

T = TypeVar("T")
C = TypeVar("C")

logger = logging.getLogger(__name__)
AWAY_SECONDS = 2.0
"""After a failure Redis is left alone for so long: an outage must not slow every request."""
# On a LAN Redis answers within a millisecond; whoever waits longer had better do without.
CONNECT_SECONDS = 0.25
ANSWER_SECONDS = 0.25
MOST_CONNECTIONS = 32


def make_pool(url: str) -> ConnectionPool:
    """Connections to the Redis at `url`, none of them open yet."""
    from redis.asyncio import BlockingConnectionPool
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import ConnectionError as Lost

    return BlockingConnectionPool.from_url(
        url,
        max_connections=MOST_CONNECTIONS,
        timeout=CONNECT_SECONDS,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=ANSWER_SECONDS,
        # Once: a connection from before a restart is dead, and the next one works.
        retry=Retry(NoBackoff(), 1),
        retry_on_error=[Lost],
    )


async def cancellable(question: Awaitable[T]) -> T:
    """The answer of redis, unless this task is cancelled meanwhile.

    Python 3.11's `wait_for`, by which redis writes, loses a cancellation that comes in the moment
    in which it is done (python/cpython issue 86296).
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        return await question
    finally:
        if task and task.cancelling() > before:
            raise asyncio.CancelledError


class Contact:
    """Whoever has the same contact has the same connections, and learns of an outage together.

    `without` is said once in the log when Redis is away: what that means.
    """

    def __init__(
        self, pool: ConnectionPool, without: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.pool = pool
        self._without = without
        self._clock = clock
        self._away_until = 0.0
        self._is_away = False
        self._on_the_way: set[asyncio.Task[object]] = set()

    async def ask(self, question: Callable[[], Awaitable[T]]) -> T | None:
        """The answer; None while Redis is away."""
        return await self.ask_or(question, _nothing)

    async def ask_or(
        self, question: Callable[[], Awaitable[T]], instead: Callable[[], Awaitable[C]]
    ) -> T | C:
        """The answer; while Redis is away, that of `instead`."""
        if self._clock() < self._away_until:
            return await instead()
        try:
            answer = await cancellable(question())
        except Exception as error:  # whatever is wrong there, nobody here must stand still for it
            self._lost(error)
        else:
            self._found()
            return answer
        return await instead()

    def tell(self, word: Callable[[], Awaitable[object]]) -> None:
        """Asks in a task of its own: whoever is cancelled must not wait."""
        task: asyncio.Task[object] = asyncio.create_task(self.ask(word))
        self._on_the_way.add(task)
        task.add_done_callback(self._on_the_way.discard)

    async def close(self) -> None:
        """Once everything has been told that is on its way."""
        if self._on_the_way:
            await asyncio.wait(self._on_the_way)
        await close(self.pool)

    def _lost(self, error: Exception) -> None:
        self._away_until = self._clock() + AWAY_SECONDS
        if not self._is_away:
            self._is_away = True
            logger.warning("Redis is away: %s (%s)", self._without, error)

    def _found(self) -> None:
        if self._is_away:
            self._is_away = False
            logger.info("Redis answers again: no longer %s", self._without)


class Counting(Generic[C]):
    """Counters of the same kind: those in Redis, and this process' own while it is away."""

    def __init__(self, own: C, shared: C | None = None, contact: Contact | None = None) -> None:
        self._own = own
        self._shared = own if shared is None else shared
        self._contact = contact

    async def ask(self, question: Callable[[C], Awaitable[T]]) -> T:
        if self._contact is None:
            return await question(self._own)
        return await self._contact.ask_or(
            lambda: question(self._shared), lambda: question(self._own)
        )


async def _nothing() -> None:
    return None


async def close(pool: ConnectionPool) -> None:
    """Every connection of it. One whose other side does not say goodbye is left to itself."""
    with contextlib.suppress(Exception):
        await pool.disconnect()
