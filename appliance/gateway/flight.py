"""Work that several callers follow: done once, seen whole by each, cancelled with the last.

Does not know what the work is. Belongs to one event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Generic, TypeVar

T = TypeVar("T")


class Flight(Generic[T]):
    """Runs `source` in a task of its own. It goes on as long as anybody follows.

    So nobody depends on who came first: the first caller may leave, the others notice nothing.
    """

    def __init__(self) -> None:
        self._events: list[T] = []
        self._followers = 0
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._over = False
        self.abandoned = False

    def start(self, source: AsyncGenerator[T, None]) -> None:
        """Begin the work. Whoever starts it follows it too, or it would run unseen."""
        self._task = asyncio.create_task(self._run(source))

    async def follow(self) -> AsyncGenerator[T, None]:
        """Everything from the beginning, then live; raises what the work raised.

        When the last follower leaves, the work is cancelled, and its end is waited for.
        """
        self._followers += 1
        place = 0
        try:
            while True:
                changed = self._changed
                while place < len(self._events):
                    place += 1
                    yield self._events[place - 1]
                if self._over:
                    break
                await changed.wait()
        finally:
            self._followers -= 1
            if not self._followers:
                await self._end()
        if self._failure is not None:
            raise self._failure

    async def _run(self, source: AsyncGenerator[T, None]) -> None:
        try:
            async with aclosing(source):
                async for event in source:
                    self._events.append(event)
                    self._wake()
        except BaseException as error:
            self._failure = error
            if not isinstance(error, Exception):
                raise
        finally:
            self._over = True
            self._wake()

    async def _end(self) -> None:
        if self._over or self._task is None:
            return
        # Said before anything is waited for: from here on nobody may come aboard.
        self.abandoned = True
        self._task.cancel()
        await asyncio.wait({self._task})

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
