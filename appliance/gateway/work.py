"""One piece of work at the engine: a fair place in the queue, then what the engine says.

Knows nothing of who is recorded or charged for it, so that several callers can share one.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace

from appliance.domain import ChoiceFinished, Delta, GenerationRequest
from appliance.engine.client import Accepted, Completed, EngineClient
from appliance.engine.config import Endpoint, EngineFacts
from appliance.engine.status import Engine, check_available
from appliance.gateway.queue import Queue


@dataclass(frozen=True, slots=True)
class Placed:
    """A place at the engine is free for the work, `queue_ms` after it was wished for.

    `ahead` is how many requests were waiting then.
    """

    queue_ms: float
    ahead: int = 0


@dataclass(frozen=True, slots=True)
class Begun:
    """The engine has taken the work, or an answer is given again.

    `endpoint` and `engine_id` are how to reach the work in the engine; None where there is none, or
    where the engine does not name it. `seed` is what it draws by, where we know. `cached_from` and
    `cache_age` are as in `Admitted`.
    """

    model: str
    endpoint: Endpoint | None = None
    engine_id: str | None = None
    cached_from: str | None = None
    cache_age: float | None = None
    seed: int | None = None


# Whole numbers that survive a program in JavaScript.
SEED_BITS = 53
OWN_BACKENDS = ("transformers", "openvino")
WorkEvent = Placed | Begun | Delta | ChoiceFinished | Completed


class Workshop:
    """Does pieces of work for callers known by name. Stateless but for its parts."""

    def __init__(self, engine: Engine, client: EngineClient, queue: Queue) -> None:
        self._engine = engine
        self._client = client
        self._queue = queue

    async def work(
        self, request: GenerationRequest, name: str, *, ticket: str = "", interactive: bool = False
    ) -> AsyncGenerator[WorkEvent, None]:
        """Yield `Placed`, `Begun`, deltas and `ChoiceFinished`, `Completed`.

        Refusals are raised before `Begun`. Closing the generator cancels the work in the engine
        and gives the place to the next. `ticket` is what the queue knows it by, `interactive`
        tells that a person waits for it; each choice takes a place.
        """
        started = time.perf_counter()
        check_available(self._engine.status)
        place = self._queue.place(
            name, ticket=ticket, interactive=interactive, places=request.choices
        )
        async with place as ahead, self._engine.lease() as endpoint:
            yield Placed((time.perf_counter() - started) * 1000, ahead)
            model = request.adapter or endpoint.model
            request = with_seed(request, self._engine.status.facts)
            seed = request.sampling.seed
            async with aclosing(self._client.stream(endpoint, request)) as events:
                async for event in events:
                    if isinstance(event, Accepted):
                        yield Begun(model, endpoint, event.engine_id, seed=seed)
                    else:
                        yield event


def with_seed(request: GenerationRequest, facts: EngineFacts | None) -> GenerationRequest:
    """The request with a seed of our own, so that the answer can be drawn again.

    Only for our own engine: vLLM draws a batch faster when nobody has a seed, and another server
    may not know what one is.
    """
    sampling = request.sampling
    ours = facts is not None and facts.backend in OWN_BACKENDS
    if not ours or sampling.seed is not None or sampling.temperature == 0:
        return request
    return replace(request, sampling=replace(sampling, seed=secrets.randbits(SEED_BITS)))
