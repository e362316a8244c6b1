"""The only way to the engine: limits → queue → engine, and one ledger row whatever happens."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from typing import Literal

from appliance.domain import (
    Admitted,
    Event,
    Finished,
    GenerationRequest,
    ReasoningDelta,
    TextDelta,
    Timings,
    Usage,
)
from appliance.engine.client import Accepted, Completed, EngineClient
from appliance.engine.status import Engine
from appliance.gateway.identity import Caller
from appliance.gateway.limits import RateLimits
from appliance.gateway.queue import FairQueue
from appliance.ledger.ids import new_id
from appliance.ledger.recorder import Recorder


@dataclass(slots=True)
class _Answer:
    """One generation as it grows, and what the ledger will say of it."""

    started: float
    queue_ms: float = 0.0
    ttft_ms: float | None = None
    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    usage: Usage | None = None
    finish_reason: str = "cancelled"
    error: str | None = None

    def elapsed_ms(self) -> float:
        return (time.perf_counter() - self.started) * 1000

    def take(self, event: TextDelta | ReasoningDelta) -> None:
        if self.ttft_ms is None:
            self.ttft_ms = self.elapsed_ms()
        (self.text if isinstance(event, TextDelta) else self.reasoning).append(event.text)

    def timings(self) -> Timings:
        return Timings(self.queue_ms, self.ttft_ms, self.elapsed_ms())


class Gateway:
    """Runs generations for callers. Receives its parts; knows no dialect and no engine."""

    def __init__(
        self,
        *,
        engine: Engine,
        client: EngineClient,
        limits: RateLimits,
        queue: FairQueue,
        log: Recorder,
        log_content: Literal["full", "metadata"] = "full",
    ) -> None:
        self._engine = engine
        self._client = client
        self._limits = limits
        self._queue = queue
        self._log = log
        self._log_content = log_content

    async def run(
        self, request: GenerationRequest, caller: Caller, *, request_id: str
    ) -> AsyncGenerator[Event, None]:
        """Yield `Admitted`, deltas, `Finished`.

        A refusal is raised before `Admitted`, so that it still has a status code; a failure after
        it is an EngineFailed. Closing the generator cancels the work in the engine.
        """
        generation_id = new_id()
        answer = _Answer(time.perf_counter())
        self._open(generation_id, request_id, request)
        try:
            async with aclosing(self._admitted(generation_id, request, caller, answer)) as events:
                async for event in events:
                    yield event
        except Exception as error:
            answer.finish_reason, answer.error = "error", str(error)
            raise
        finally:
            self._close(generation_id, answer)

    async def _admitted(
        self, generation_id: str, request: GenerationRequest, caller: Caller, answer: _Answer
    ) -> AsyncGenerator[Event, None]:
        await self._limits.check(caller)
        self._engine.endpoint()
        async with self._queue.place(caller.name):
            answer.queue_ms = answer.elapsed_ms()
            endpoint = self._engine.endpoint()
            async with aclosing(self._client.stream(endpoint, request)) as events:
                async for event in events:
                    match event:
                        case Accepted():
                            yield Admitted(generation_id, endpoint.model, answer.queue_ms)
                        case Completed(finish_reason, usage):
                            answer.finish_reason, answer.usage = finish_reason, usage
                            yield Finished(finish_reason, usage, answer.timings())
                        case _:
                            answer.take(event)
                            yield event

    def _open(self, generation_id: str, request_id: str, request: GenerationRequest) -> None:
        facts = self._engine.status.facts
        parameters = {k: v for k, v in asdict(request.sampling).items() if v not in (None, ())}
        if request.enable_thinking is not None:
            parameters["enable_thinking"] = request.enable_thinking
        self._log.open_generation(
            id=generation_id,
            request_id=request_id,
            model=facts.model if facts else "",
            precision=facts.precision if facts else "",
            engine=facts.backend if facts else "",
            parameters=parameters,
            input=self._input(request),
        )

    def _input(self, request: GenerationRequest) -> list[dict[str, str]] | str:
        if self._log_content == "metadata":
            return ""
        if isinstance(request.prompt, str):
            return request.prompt
        return [{"role": m.role, "content": m.content} for m in request.prompt]

    def _close(self, generation_id: str, answer: _Answer) -> None:
        keep = self._log_content == "full"
        self._log.close_generation(
            generation_id,
            output="".join(answer.text) if keep else "",
            reasoning="".join(answer.reasoning) if keep else "",
            usage=answer.usage,
            timings=answer.timings(),
            finish_reason=answer.finish_reason,
            error=answer.error,
        )
