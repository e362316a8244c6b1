"""The fair queue of several fronts before one engine: one hall, written down in Redis.

Each front knows its own guests. Whenever one comes or goes, and now and then, it visits the hall,
which then agrees with it; whoever was given places by another front is told by a word of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Iterator
from itertools import count
from typing import TYPE_CHECKING, Any

from appliance.gateway.hall import Bounds, Held, Place
from appliance.gateway.line import Turn
from appliance.gateway.redis_document import SharedDocument
from appliance.gateway.redis_hall import BEAT_SECONDS, Guest, Visit
from appliance.gateway.redis_visits import Visits

if TYPE_CHECKING:
    from redis.asyncio import ConnectionPool

logger = logging.getLogger(__name__)
# The number is that of the format: another version of the appliance has a queue of its own.
PREFIX = "appliance:queue:1:"


class SharedQueue:
    """Fulfils `Queue` for all that have the same Redis and `scope`, while `keep` runs.

    `pool` is its own, so that nobody waits for a place behind other questions; `keep` closes it.
    `slots` is only how many places there are before an engine has said it. What is told was true
    at the last visit, at most `BEAT_SECONDS` ago.
    """

    def __init__(
        self, pool: ConnectionPool, *, scope: str, slots: int, limit: int, per_key: int
    ) -> None:
        self.bounds = Bounds(limit, per_key)
        self._front = secrets.token_hex(8)
        document = SharedDocument(pool, PREFIX + scope)
        self._visits = Visits(document, self._front, slots, self.bounds)
        self._guests: dict[str, Guest] = {}
        self._doors: dict[str, asyncio.Future[None]] = {}
        self._numbers = count(1)
        self._lookers: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()

    @property
    def slots(self) -> int:
        return self._visits.hall.slots

    @property
    def running(self) -> int:
        return self._visits.hall.running

    @property
    def waiting(self) -> int:
        return len(self._visits.hall.line)

    @property
    def held(self) -> list[Held]:
        return self._visits.hall.held

    def now(self) -> float:
        return self._visits.now()

    def place_of(self, ticket: str, name: str) -> Place | None:
        return self._visits.hall.place_of(ticket, name, self.now())

    def line(self) -> Iterator[tuple[Turn, Place]]:
        return self._visits.hall.places(self.now())

    def resize(self, slots: int) -> None:
        self._visits.resize(slots)
        self._wake.set()

    async def look(self) -> None:
        looker = asyncio.get_running_loop().create_future()
        self._lookers.append(looker)
        self._wake.set()
        await asyncio.wait({looker}, timeout=BEAT_SECONDS)

    @contextlib.asynccontextmanager
    async def place(self, name: str, **wish: Any) -> AsyncIterator[int]:
        guest_id = f"{self._front}:{next(self._numbers)}"
        guest = self._guests[guest_id] = Guest(
            Turn(id=guest_id, front=self._front, name=name, **wish)
        )
        door = self._doors[guest_id] = asyncio.get_running_loop().create_future()
        self._wake.set()
        try:
            await door
            yield guest.turn.ahead
        finally:
            # Whatever the hall thinks of it, even in this moment: the next visit takes it out.
            del self._guests[guest_id], self._doors[guest_id]
            self._wake.set()

    async def keep(self) -> None:
        listening = asyncio.create_task(self._visits.listen(self._wake.set))
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(BEAT_SECONDS):
                        await self._wake.wait()
                self._wake.clear()
                try:
                    await self._visit()
                except Exception:  # nobody here would ever have a turn again
                    logger.exception("The queue could not be attended to")
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            await self._visits.end()

    async def _visit(self) -> None:
        lookers, self._lookers = self._lookers, []
        self._tell(await self._visits.visit(self._guests.values()))
        for looker in lookers:
            looker.set_result(None)

    def _tell(self, visit: Visit) -> None:
        visit.tell(self._guests)
        for guest_id in visit.inside:
            self._open(guest_id)
        for guest_id, refusal in visit.refused.items():
            self._open(guest_id, refusal)

    def _open(self, guest_id: str, refusal: Exception | None = None) -> None:
        door = self._doors.get(guest_id)
        if door is None or door.done():
            return
        if refusal is None:
            door.set_result(None)
        else:
            door.set_exception(refusal)
