"""Asking Redis with bounded patience: after a failure it is left alone for a while.

Redis may be slow, full or gone at any time. Whoever asks has a way to do without.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

logger = logging.getLogger(__name__)
AWAY_SECONDS = 2.0
"""After a failure Redis is left alone for so long: an outage must not slow every request."""


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
    """`without` is said once in the log when Redis is away: what that means."""

    def __init__(self, without: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._without = without
        self._clock = clock
        self._away_until = 0.0
        self._is_away = False

    async def ask(self, question: Callable[[], Awaitable[T]]) -> T | None:
        """The answer; None while Redis is away."""
        if self._clock() < self._away_until:
            return None
        try:
            answer = await cancellable(question())
        except Exception as error:  # whatever is wrong there, nobody here must stand still for it
            self._away_until = self._clock() + AWAY_SECONDS
            if not self._is_away:
                self._is_away = True
                logger.warning("Redis is away: %s (%s)", self._without, error)
            return None
        if self._is_away:
            self._is_away = False
            logger.info("Redis answers again: no longer %s", self._without)
        return answer
