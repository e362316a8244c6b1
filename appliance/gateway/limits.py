"""How much a caller may ask for: requests, tokens of a minute and of a day, requests at once.

Used directly and not by a route's decorator, because a limit belongs to the gateway, where pages
and APIs meet.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from appliance.errors import InvalidRequest, RateLimited
from appliance.gateway.allowance import Allowance
from appliance.gateway.caller import Caller
from appliance.gateway.counters import Counters, read_rate
from appliance.gateway.holdings import Holding, Holdings
from appliance.gateway.redis_contact import Counting

MINUTE, DAY = 60, 86_400
PARALLEL_RETRY_SECONDS = 2.0


@dataclass(slots=True)
class Reservation:
    """Tokens held for a request until its real usage is known; None where nothing limits them."""

    caller: Caller
    holding: Holding | None


class RateLimits:
    """Counts each key, and by address whoever has none. A key's own rate wins over the default.

    `counting` and `holdings`, which are what is under way, are this process' own unless given.
    Belongs to one event loop.
    """

    def __init__(
        self,
        default: str | None,
        counting: Counting[Counters] | None = None,
        holdings: Holdings | None = None,
    ) -> None:
        self._default = default
        self._counting = counting or Counting(Counters())
        self._holdings = holdings or Holdings()

    async def check(self, caller: Caller) -> None:
        """Count one request. Raises RateLimited with the seconds until the next is allowed."""
        rate, whose = caller.rate or self._default, caller.counted_as
        if rate is None or await self._counting.ask(lambda counters: counters.hit(rate, whose)):
            return
        _, wait = await self._counting.ask(lambda counters: counters.requests_left(rate, whose))
        raise _used_up(rate, caller, wait)

    @contextlib.asynccontextmanager
    async def at_once(self, caller: Caller) -> AsyncIterator[None]:
        """Inside, the request is one of those under way. Raises RateLimited for one too many."""
        if caller.parallel is None:
            yield
            return
        holding = Holding(f"requests/{caller.counted_as}")
        try:
            if await self._holdings.take(holding, caller.parallel) is None:
                raise RateLimited(
                    "%(parallel)s requests of %(name)s are under way, which is the most at once.",
                    retry_after=PARALLEL_RETRY_SECONDS,
                    parallel=caller.parallel,
                    name=caller.name,
                )
            yield
        finally:
            self._holdings.give_back(holding)
        # Whoever sees the end of this answer may ask again at once.
        await self._holdings.settled()

    async def reserve(self, caller: Caller, tokens: int) -> Reservation:
        """Hold so many tokens until `settle`. Raises RateLimited with the seconds until they are
        free, InvalidRequest when they never will be."""
        limits = _token_limits(caller)
        for window, limit in limits.items():
            _check_possible(caller, tokens, window, limit)
        if not limits:
            return Reservation(caller, None)
        holding = Holding(_reserved(caller), tokens)
        try:
            reserved = await self._holdings.take(holding) or 0
            for window, limit in limits.items():
                await self._check_room(caller, tokens, reserved, window, limit)
        except BaseException:
            self._holdings.give_back(holding)
            raise
        return Reservation(caller, holding)

    async def settle(self, reservation: Reservation, used: int) -> None:
        """Give back what was held, and count what was really used."""
        if reservation.holding is None:
            return
        caller = reservation.caller
        self._holdings.give_back(reservation.holding)
        for window in _token_limits(caller):
            await self._count(caller.counted_as, window, used)
        await self._holdings.settled()

    async def settled(self) -> None:
        """What was given back is so for everybody."""
        await self._holdings.settled()

    async def keep(self) -> None:
        """Hold what is under way, until cancelled."""
        await self._holdings.keep()

    async def allowances(self, caller: Caller) -> list[Allowance]:
        """What is left of each limit that the caller has, for the headers of an answer."""
        found, whose = [], caller.counted_as
        if rate := caller.rate or self._default:
            item = read_rate(rate)
            left, reset = await self._counting.ask(
                lambda counters: counters.requests_left(rate, whose)
            )
            found.append(Allowance("requests", item.amount, left, reset, item.get_expiry()))
        if limits := _token_limits(caller):
            reserved = await self._holdings.total(_reserved(caller))
            for window, limit in limits.items():
                left = max(0, limit - reserved - await self._used(caller, window))
                found.append(Allowance("tokens", limit, left, window, window))
        return found

    async def _check_room(
        self, caller: Caller, tokens: int, reserved: int, window: int, limit: int
    ) -> None:
        if reserved + await self._used(caller, window) <= limit:
            return
        # What is reserved is given back or counted when its answers are done: it fades with them.
        most, whose = max(0, limit - tokens), caller.counted_as
        wait = await self._counting.ask(lambda counters: counters.until_room(whose, window, most))
        raise _used_up(f"{limit} tokens/{_span(window)}", caller, wait)

    async def _count(self, whose: str, window: int, used: int) -> None:
        await self._counting.ask(lambda counters: counters.add_tokens(whose, window, used))

    async def _used(self, caller: Caller, window: int) -> int:
        return await self._counting.ask(lambda counters: counters.tokens(caller.counted_as, window))


def _reserved(caller: Caller) -> str:
    return f"tokens/{caller.counted_as}"


def _token_limits(caller: Caller) -> dict[int, int]:
    limits = {MINUTE: caller.tokens_per_minute, DAY: caller.tokens_per_day}
    return {window: limit for window, limit in limits.items() if limit is not None}


def _check_possible(caller: Caller, tokens: int, window: int, limit: int) -> None:
    if tokens > limit:
        raise InvalidRequest(
            "Prompt and max_tokens are up to %(tokens)s tokens; the key %(name)s has %(limit)s for "
            "a %(span)s. Ask for less.",
            param="max_tokens",
            tokens=tokens,
            name=caller.name,
            limit=limit,
            span=_span(window),
        )


def _span(window: int) -> str:
    return "minute" if window == MINUTE else "day"


def _used_up(rate: str, caller: Caller, wait: float) -> RateLimited:
    wait = max(1.0, wait)
    return RateLimited(
        "The limit of %(rate)s for %(name)s is used up. Try again in %(seconds)s s.",
        retry_after=wait,
        rate=rate,
        name=caller.name,
        seconds=round(wait),
    )
