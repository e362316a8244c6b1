"""What stands between a wish and the queue: permissions, limits, and revocation meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from appliance.engine.status import Engine
from appliance.gateway.asked import Asked
from appliance.gateway.bookkeeping import BYTES_PER_TOKEN, input_bytes
from appliance.gateway.limits import RateLimits, Reservation
from appliance.gateway.permissions import check_permitted
from appliance.gateway.revocation import Interrupt, Revocations

# Only a reservation is made from it: what is counted in the end is what the engine has counted.
UNSAID_ANSWER_TOKENS = 256


class Admission:
    """Admits generations one by one. Belongs to one event loop."""

    def __init__(self, engine: Engine, limits: RateLimits) -> None:
        self._engine = engine
        self.limits = limits
        self._settling: set[asyncio.Task[None]] = set()
        self.revocations = Revocations()

    @asynccontextmanager
    async def admitted(self, asked: Asked) -> AsyncIterator[Interrupt]:
        """Hold the request's share of its caller's limits; raises what refuses it.

        The end of what the caller came in by raises NotAuthenticated out of it, where the
        `Interrupt` has been entered.
        """
        caller = asked.caller
        check_permitted(asked.request, caller, asked.origin, self._engine.status.facts)
        with self.revocations.watched(caller.credential) as interrupt:
            async with self.limits.at_once(caller):
                await self.limits.check(caller)
                reservation = await self.limits.reserve(caller, _expected(asked))
                try:
                    with interrupt.raised():
                        yield interrupt
                finally:
                    interrupt.leave()
                    settling = self._settle(reservation, _used(asked))
                # Whoever sees the end of the answer may ask again at once.
                await asyncio.wait({settling})

    async def settled(self) -> None:
        """Until all that has ended is counted and given back."""
        if self._settling:
            await asyncio.wait(self._settling)
        await self.limits.settled()

    def _settle(self, reservation: Reservation, used: int) -> asyncio.Task[None]:
        """In a task of its own: whoever is cancelled must not wait, and must be counted."""
        task = asyncio.create_task(self.limits.settle(reservation, used))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)
        return task


def _expected(asked: Asked) -> int:
    answer = asked.request.sampling.max_tokens or UNSAID_ANSWER_TOKENS
    return _prompt(asked) + answer * asked.request.choices


def _used(asked: Asked) -> int:
    """As counted by the engine; of an answer that was cut off, about. One given again is free."""
    account = asked.account
    if asked.begun is None or account.cached_from is not None:
        return 0
    if account.usage is not None:
        return account.usage.total_tokens
    return _prompt(asked) + account.output_bytes() // BYTES_PER_TOKEN


def _prompt(asked: Asked) -> int:
    return input_bytes(asked.request) // BYTES_PER_TOKEN
