"""How one front visits the hall that all share: read, attend, write; alone while Redis is away."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Collection

from appliance.gateway.hall import Bounds, Hall
from appliance.gateway.redis_contact import AWAY_SECONDS, Contact, cancellable
from appliance.gateway.redis_document import Edition, SharedDocument
from appliance.gateway.redis_hall import Board, Guest, Visit, attend, leave, read, written

logger = logging.getLogger(__name__)
GOODBYE_SECONDS = 2.0


class Visits:
    """The visits of `front`. `hall` is as it was found last; until then it has `slots` places."""

    def __init__(
        self,
        document: SharedDocument,
        front: str,
        slots: int,
        bounds: Bounds,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.hall = Hall(slots)
        self._document = document
        self._front = front
        self._bounds = bounds
        self._clock = clock
        self._ahead = time.time() - clock()
        self._resized: int | None = None
        self._contact = Contact(document.pool, "this front has a queue of its own", clock)

    def now(self) -> float:
        """Redis' clock, about: those of the fronts' machines may differ."""
        return self._clock() + self._ahead

    def resize(self, slots: int) -> None:
        """From the next visit on there are so many places."""
        self._resized = slots

    async def visit(self, guests: Collection[Guest]) -> Visit:
        """In the hall of all fronts; while Redis is away, in one without the others' guests."""
        together = await self._contact.ask(lambda: self._attended(guests))
        return together or self._attend(self._alone(), guests, self.now())

    async def listen(self, heard: Callable[[], None]) -> None:
        """`heard` is called whenever another front has given places to a guest; never ends."""
        from redis.exceptions import RedisError

        while True:
            with contextlib.suppress(RedisError, OSError):
                # Closing a connection may fail and hide that this was cancelled.
                await cancellable(self._document.listen(self._front, heard))
            await asyncio.sleep(AWAY_SECONDS)

    async def end(self) -> None:
        """Leave the hall with all guests. Nobody has to wait until the front counts as dead."""
        from redis.exceptions import RedisError

        with contextlib.suppress(RedisError, OSError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                left = False
                while not left:
                    edition = await self._document.read()
                    board = self._board(edition.text)
                    visit = leave(board, self._front, edition.now)
                    left = await self._write(edition, board, visit)
        await self._document.close()

    async def _attended(self, guests: Collection[Guest]) -> Visit:
        while True:
            edition = await self._document.read()
            self._ahead = edition.now - self._clock()
            board, resized = self._board(edition.text), self._resized
            visit = self._attend(board, guests, edition.now)
            if await self._write(edition, board, visit):
                break
        if resized == self._resized:
            self._resized = None
        self.hall = board.hall
        return visit

    def _attend(self, board: Board, guests: Collection[Guest], now: float) -> Visit:
        if self._resized is not None:
            board.hall.slots = self._resized
        return attend(board, self._front, guests, now, self._bounds)

    async def _write(self, edition: Edition, board: Board, visit: Visit) -> bool:
        """False when another front has written meanwhile."""
        text = written(board).encode()
        return text == edition.text or await self._document.write(edition, text, visit.elsewhere)

    def _alone(self) -> Board:
        """The hall as it was found last; of other fronts nothing is seen."""
        return Board(self.hall, {self._front: self.now()})

    def _board(self, text: bytes | None) -> Board:
        """What is written; where nothing is that can be read, a hall without anybody."""
        if text is not None:
            with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
                return read(text)
            logger.warning("The queue in Redis is not one of ours, and is begun anew")
        return Board(Hall(self.hall.slots, mean=self.hall.durations.mean))
