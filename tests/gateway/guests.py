"""Guests of a queue: tasks that each hold a place until they are told to go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from appliance.gateway.queue import Queue


class Guests:
    """All at one front. `inside` are those who had their turn, in this order."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.inside: list[str] = []
        self.wishes: dict[str, Any] = {"p": {"interactive": True}, "w": {"places": 2}}
        self._doors: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, guest: str) -> None:
        """`anna-2` is anna's second request, `anna-3p` comes from a page, `anna-4w` is wide."""
        self._doors[guest] = asyncio.Event()
        self._tasks[guest] = asyncio.create_task(self._stay(guest))
        await settle(self.queue)

    def rise(self, guest: str) -> None:
        """It is about to go."""
        self._doors[guest].set()

    async def go(self, guest: str) -> None:
        self.rise(guest)
        await self._tasks[guest]
        await settle(self.queue)

    async def give_up(self, guest: str) -> None:
        self._tasks[guest].cancel()
        await asyncio.gather(self._tasks[guest], return_exceptions=True)
        await settle(self.queue)

    async def _stay(self, guest: str) -> None:
        name, _, kind = guest.partition("-")
        async with self.queue.place(name, ticket=guest, **self.wishes.get(kind[-1], {})):
            self.inside.append(guest)
            await self._doors[guest].wait()

    async def all_leave(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)


async def settle(*queues: Queue) -> None:
    """Whatever has happened is known to everybody."""
    for queue in queues:
        await _a_moment()
        await queue.look()
        await _a_moment()


async def _a_moment() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


Invite = Callable[[Queue], Guests]
MakeQueue = Callable[..., Queue]
