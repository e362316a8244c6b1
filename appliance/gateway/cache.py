"""Answers given again: the same deterministic request of the same caller is computed once.

Only what the engine would say word for word again is kept: temperature 0, or a seed, in the
request itself. Identical requests that come meanwhile follow the first one live. Knows no HTTP,
no ledger and no engine.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from itertools import chain, groupby

from appliance.domain import (
    ChoiceFinished,
    Delta,
    GenerationRequest,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
)
from appliance.engine.client import Completed
from appliance.engine.config import EngineFacts
from appliance.gateway.caller import Caller
from appliance.gateway.flight import Flight
from appliance.gateway.store import AnswerStore, KeptAnswer
from appliance.gateway.work import Begun, Placed, WorkEvent
from appliance.ledger.ids import new_id

EVERYBODY = "everybody"
Compute = Callable[[], AsyncGenerator[WorkEvent, None]]


def cache_key(request: GenerationRequest, name: str, facts: EngineFacts | None) -> str | None:
    """What two requests share when one answer serves both; None when none may be kept.

    `name` is what the cache calls the caller: nobody is answered from what somebody with another
    name has asked.
    """
    sampling = request.sampling
    if facts is None or (sampling.temperature != 0 and sampling.seed is None):
        return None
    # The load's own duration tells it from the next: files may change under the same name.
    engine = (facts.backend, facts.engine_version, facts.model, facts.precision)
    whole = (name, *engine, facts.load_seconds, request)
    # Not sorted: the order of a tool's or a schema's properties is seen by the model.
    return hashlib.sha256(repr(whole).encode()).hexdigest()


class _Shared(Flight[WorkEvent]):
    """A flight, and the request that took off with it."""

    def __init__(self, request_id: str) -> None:
        super().__init__()
        self.request_id = request_id


class AnswerCache:
    """Answers from `store`, or from work under way, or from new work. One event loop's."""

    def __init__(
        self,
        store: AnswerStore,
        clock: Callable[[], float] = time.time,
        *,
        shared: bool = False,
        house: str | None = None,
    ) -> None:
        """`shared`: whoever asks the same is answered the same, whoever asked it first. `house`
        names the appliance, the same for all its fronts; one that nobody else has by default."""
        self._shared = shared
        self._store = store
        self._clock = clock
        self._flights: dict[str, _Shared] = {}
        # Two appliances on one store may each have an "owner", who are not the same person.
        self._house = house or new_id()

    def name_of(self, caller: Caller) -> str:
        """A key's id, which no other key ever has; for anybody else a name in this house."""
        if self._shared:
            return EVERYBODY
        return caller.key_id or f"{self._house} {caller.name}"

    async def answer(
        self, key: str, request_id: str, compute: Compute
    ) -> AsyncGenerator[WorkEvent, None]:
        """The events of `compute`, whoever computes them; `Begun` tells where they come from.

        Closing the generator ends the work unless somebody else still follows it.
        """
        if kept := await self._store.get(key):
            for event in self._again(kept):
                yield event
            return
        flight = self._flights.get(key)
        if flight is None or flight.abandoned:
            flight = self._take_off(key, request_id, compute)
        async with aclosing(flight.follow()) as events:
            async for event in events:
                follows = flight.request_id != request_id
                if follows and isinstance(event, Begun) and event.cached_from is None:
                    event = replace(event, cached_from=flight.request_id, cache_age=0.0)
                yield event

    def spoil(self, key: str) -> None:
        """The work under way will not end as it would have by itself: it serves nobody else."""
        self._flights.pop(key, None)

    def _again(self, kept: KeptAnswer) -> list[WorkEvent]:
        age = max(0.0, self._clock() - kept.made_at)
        begun = Begun(kept.model, cached_from=kept.request_id, cache_age=age)
        usage = replace(kept.usage, cached_tokens=kept.usage.prompt_tokens)
        return [begun, *kept.events, Completed(kept.finish_reason, usage)]

    def _take_off(self, key: str, request_id: str, compute: Compute) -> _Shared:
        flight = self._flights[key] = _Shared(request_id)
        flight.start(self._once(key, flight, compute))
        return flight

    async def _once(
        self, key: str, flight: _Shared, compute: Compute
    ) -> AsyncGenerator[WorkEvent, None]:
        """As soon as nobody else computes it: what was said there, or new work."""
        try:
            async with self._store.first(key) as kept:
                if kept is not None:
                    for event in self._again(kept):
                        yield event
                    return
                async with aclosing(self._keeping(key, flight, compute())) as events:
                    async for event in events:
                        yield event
        finally:
            if self._flights.get(key) is flight:
                del self._flights[key]

    async def _keeping(
        self, key: str, flight: _Shared, source: AsyncGenerator[WorkEvent, None]
    ) -> AsyncGenerator[WorkEvent, None]:
        """`source`, and what it said kept before its last word is out."""
        model, said = "", list[Delta | ChoiceFinished]()
        async with aclosing(source):
            async for event in source:
                match event:
                    case Placed():
                        pass
                    case Begun():
                        model = event.model
                    case Completed(finish_reason, usage):
                        if self._flights.get(key) is flight:
                            answer = KeptAnswer(
                                request_id=flight.request_id,
                                model=model,
                                made_at=self._clock(),
                                events=merged(said),
                                finish_reason=finish_reason,
                                usage=usage,
                            )
                            await self._store.put(key, answer)
                    case _:
                        said.append(event)
                yield event


def merged(events: list[Delta | ChoiceFinished]) -> tuple[Delta | ChoiceFinished, ...]:
    """The same answer in as few events as carry it, choice after choice."""
    in_order = sorted(events, key=lambda event: event.choice)
    return tuple(_joined(list(pieces)) for _, pieces in groupby(in_order, key=_whose))


def _whose(event: Delta | ChoiceFinished) -> tuple[object, ...]:
    """Equal for pieces of the same thing."""
    index = event.index if isinstance(event, ToolCallDelta) else None
    return type(event), event.choice, index


def _joined(pieces: list[Delta | ChoiceFinished]) -> Delta | ChoiceFinished:
    text = "".join(p.text for p in pieces if isinstance(p, TextDelta | ReasoningDelta))
    match pieces[0]:
        case TextDelta() as first:
            logprobs = chain(*(p.logprobs for p in pieces if isinstance(p, TextDelta)))
            return replace(first, text=text, logprobs=tuple(logprobs))
        case ReasoningDelta() as first:
            return replace(first, text=text)
        case ToolCallDelta() as first:
            arguments = (p.arguments for p in pieces if isinstance(p, ToolCallDelta))
            return replace(first, arguments="".join(arguments))
        case first:
            return first
