"""The row of a generation: opened when it is asked for, closed with whatever became of it."""

from __future__ import annotations

from typing import Any

from appliance.domain import GenerationRequest
from appliance.engine.config import EngineFacts
from appliance.engine.status import Engine
from appliance.gateway.account import written_input
from appliance.gateway.asked import Asked
from appliance.gateway.energy import Meter
from appliance.gateway.terms import parameters, written_form, written_tools
from appliance.gateway.work import Placed
from appliance.ledger.recorder import Recorder
from appliance.observability import context

# About, where nothing has been counted yet.
BYTES_PER_TOKEN = 4


class Bookkeeping:
    """Tells the recorder of each generation what is known of it. Stateless but for its parts."""

    def __init__(self, log: Recorder, engine: Engine, energy: Meter) -> None:
        self._log = log
        self._engine = engine
        self._energy = energy

    def open(self, asked: Asked) -> None:
        request, origin, trace = asked.request, asked.origin, context.current()
        keep = asked.keeps_content
        asked.facts = self._engine.status.facts
        self._log.open_generation(
            id=asked.id,
            request_id=asked.request_id,
            input=written_input(request) if keep else None,
            tools=written_tools(request) if keep else None,
            form=written_form(request) if keep else None,
            input_bytes=input_bytes(request),
            dialect=origin.dialect,
            conversation_id=origin.conversation_id,
            assistant=origin.assistant,
            replay_of=origin.replay_of,
            seed=request.sampling.seed,
            trace_id=trace.trace_id if trace else None,
            **_by_engine(request, asked.facts),
        )

    def place(self, asked: Asked, placed: Placed) -> None:
        """It has a place at the engine, and from now on a share in its energy."""
        asked.placed = placed
        asked.account.place(placed.queue_ms)
        asked.energy_mark = self._energy.begin()

    def close(self, asked: Asked) -> None:
        account, placed, begun = asked.account, asked.placed, asked.begun
        mark, facts = asked.energy_mark, self._engine.status.facts
        measured: dict[str, Any] = {}
        if begun is not None and begun.seed is not None:
            measured["seed"] = begun.seed
        if asked.facts is None and begun is not None:
            # The engine was asleep, and woke up for this one.
            measured |= _by_engine(asked.request, facts)
        keep = asked.keeps_content
        self._log.close_generation(
            asked.id,
            output=account.output() if keep else None,
            reasoning=account.reasoning() if keep else None,
            tool_calls=account.tool_calls() if keep else None,
            usage=account.usage,
            timings=account.timings(),
            finish_reason=account.finish_reason,
            error=account.error,
            cached_from=account.cached_from,
            queue_place=placed.ahead if placed else None,
            output_bytes=account.output_bytes(),
            model_hash=facts.model_hash if facts and begun else None,
            joules=None if mark is None else self._energy.end(mark),
            **measured,
        )


def _by_engine(request: GenerationRequest, facts: EngineFacts | None) -> dict[str, Any]:
    return {
        "model": facts.model if facts else "",
        "precision": facts.precision if facts else "",
        "engine": facts.backend if facts else "",
        "engine_version": facts.engine_version if facts else None,
        "parameters": parameters(request, facts),
    }


def input_bytes(request: GenerationRequest) -> int:
    """Of the texts themselves, without the names of roles."""
    if isinstance(request.prompt, str):
        return _bytes(request.prompt) + BYTES_PER_TOKEN * len(request.token_ids)
    texts = (
        [turn.content, turn.reasoning or "", *(call.arguments for call in turn.tool_calls)]
        for turn in request.prompt
    )
    return sum(_bytes(text) for turn in texts for text in turn)


def _bytes(text: str) -> int:
    # Half a surrogate pair, which JSON may carry, has no UTF-8.
    return len(text.encode(errors="replace"))
