"""The only way to the engine: limits → cache → queue → engine, and one ledger row in any case."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from typing import Literal

from appliance.domain import (
    Admitted,
    ChoiceFinished,
    Delta,
    Event,
    Finished,
    GenerationRequest,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
)
from appliance.engine.client import Completed, EngineClient
from appliance.engine.status import Engine
from appliance.errors import ApplianceError, NotFound
from appliance.gateway.account import Account
from appliance.gateway.admission import Admission
from appliance.gateway.allowance import Allowance
from appliance.gateway.asked import Asked
from appliance.gateway.bookkeeping import Bookkeeping
from appliance.gateway.cache import AnswerCache, cache_key
from appliance.gateway.caller import Caller
from appliance.gateway.context import UNNAMED, Origin
from appliance.gateway.energy import EnergyMeter, Meter
from appliance.gateway.hall import Place
from appliance.gateway.limits import RateLimits
from appliance.gateway.permissions import shortened
from appliance.gateway.queue import Queue
from appliance.gateway.revocation import Revocations
from appliance.gateway.telling import seen
from appliance.gateway.work import Begun, Placed, WorkEvent, Workshop
from appliance.ledger.ids import new_id
from appliance.ledger.recorder import Recorder
from appliance.observability.seen import GenerationSeen


class Gateway:
    """Runs generations for callers. Receives its parts; knows no dialect and no engine.

    Without a `cache` every request is computed. `watch` is told of each when it is over.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        client: EngineClient,
        limits: RateLimits,
        queue: Queue,
        log: Recorder,
        log_content: Literal["full", "metadata"] = "full",
        cache: AnswerCache | None = None,
        watch: Callable[[GenerationSeen], None] | None = None,
        energy: Meter | None = None,
    ) -> None:
        self._engine = engine
        self._client = client
        self._admission = Admission(engine, limits)
        self._queue = queue
        self._workshop = Workshop(engine, client, queue)
        self._books = Bookkeeping(log, engine, energy or EnergyMeter())
        self._keep_content = log_content == "full"
        self._cache = cache
        self._watch = watch
        self._running: dict[str, Asked] = {}

    async def run(
        self,
        request: GenerationRequest,
        caller: Caller,
        *,
        request_id: str,
        use_cache: bool = True,
        origin: Origin = UNNAMED,
    ) -> AsyncGenerator[Event, None]:
        """Yield `Admitted`, deltas and a `ChoiceFinished` for each choice, `Finished`.

        A refusal is raised before `Admitted`, so that it still has a status code; a failure after
        it is an EngineFailed, or NotAuthenticated once the caller's key is revoked or has
        expired. Closing the generator cancels the work in the engine, unless the same caller's
        identical request waits for the same answer. `use_cache` false: the answer is computed for
        this request alone, and not kept. `origin` goes into the row.
        """
        keeps = self._keeps_content(caller, origin)
        request, account = shortened(request, caller, origin), Account(request.choices)
        asked = Asked(new_id(), request_id, request, caller, account, origin, keeps)
        self._books.open(asked)
        try:
            async with (
                self._admission.admitted(asked) as interrupt,
                aclosing(self._source(asked, use_cache)) as events,
            ):
                interrupt.enter()
                async for event in events:
                    if isinstance(event, Placed):
                        self._books.place(asked, event)
                        continue
                    told = self._told(asked, event)
                    interrupt.leave()
                    yield told
                    interrupt.enter()
        except Exception as error:
            asked.account.finish_reason, asked.account.error = "error", str(error)
            asked.account.error_code = getattr(error, "code", ApplianceError.code)
            raise
        finally:
            self._running.pop(asked.id, None)
            self._close(asked)

    @property
    def revocations(self) -> Revocations:
        """What is under way by key; somebody must `watch` for keys that are revoked."""
        return self._admission.revocations

    async def keep(self) -> None:
        """Runs as long as the gateway does, where other fronts share its queue and limits."""
        try:
            # Unlike `gather`, a group waits for the farewells of both.
            async with asyncio.TaskGroup() as group:
                group.create_task(self._queue.keep())
                group.create_task(self._admission.limits.keep())
        finally:
            await self._admission.settled()

    async def allowances(self, caller: Caller) -> list[Allowance]:
        """What is left of each limit that the caller has."""
        return await self._admission.limits.allowances(caller)

    def place(self, request_id: str, caller: Caller) -> Place | None:
        """Where the caller's own request stands in the queue; None when it does not wait there."""
        return self._queue.place_of(request_id, caller.name)

    async def answer_now(self, generation_id: str, caller: Caller) -> None:
        """End the thinking of the caller's own running answer; its text comes next.

        Raises NotFound when no such generation of this caller is running, or its engine cannot
        be told; InvalidRequest when it is not thinking.
        """
        asked = self._running.get(generation_id)
        begun = asked.begun if asked is not None and asked.caller.name == caller.name else None
        if asked is None or begun is None or begun.endpoint is None or begun.engine_id is None:
            raise NotFound("This answer is over, or its engine cannot be asked to answer now.")
        if self._cache is not None and asked.cache_key is not None:
            self._cache.spoil(asked.cache_key)
        await self._client.answer_now(begun.endpoint, begun.engine_id)

    def _source(self, asked: Asked, use_cache: bool) -> AsyncGenerator[WorkEvent, None]:
        """The answer's events: computed, or from wherever the cache has them."""
        work = partial(
            self._workshop.work,
            asked.request,
            asked.caller.name,
            ticket=asked.request_id,
            interactive=asked.origin.is_page,
            span_id=asked.span_id,
        )
        # What is run again is to be computed again.
        if self._cache is None or not use_cache or asked.origin.replay_of is not None:
            return work()
        name = self._cache.name_of(asked.caller)
        key = cache_key(asked.request, name, self._engine.status.facts)
        if key is None:
            return work()
        asked.cache_key = key
        return self._cache.answer(key, asked.request_id, work)

    def _told(self, asked: Asked, event: Begun | Delta | ChoiceFinished | Completed) -> Event:
        """The event as the caller sees it, put down to the generation's account."""
        account = asked.account
        match event:
            case TextDelta() | ReasoningDelta() | ToolCallDelta():
                account.take(event)
                return event
            case ChoiceFinished():
                return event
            case Completed(finish_reason, usage):
                account.finish_reason, account.usage = finish_reason, usage
                return Finished(finish_reason, usage, account.timings())
            case Begun(model, cached_from=cached_from, cache_age=age):
                account.cached_from, asked.begun = cached_from, event
                self._running[asked.id] = asked
                return Admitted(asked.id, model, account.queue_ms, cached_from, age)

    def _keeps_content(self, caller: Caller, origin: Origin) -> bool:
        """Everyone has a say, and one no is enough: the settings, the caller, the occasion."""
        return self._keep_content and caller.log_content == "full" and origin.keep_content

    def _close(self, asked: Asked) -> None:
        self._books.close(asked)
        if self._watch is not None:
            self._watch(seen(asked, self._engine.status.facts))
