"""A job's choices on their way to the caller: as a stream of events, or whole at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from appliance.engine.worker.answer import joined
from appliance.engine.worker.backends.base import BackendFailed
from appliance.engine.worker.engine import Engine
from appliance.engine.worker.job import Choice, Job
from appliance.engine.worker.orders import Order
from appliance.engine.worker.reasoning import Parts
from appliance.engine.worker.wire import DONE, WholeChoice, error_body, sse
from appliance.errors import ApplianceError, EngineFailed


async def stream(engine: Engine, order: Order, scope: Scope, receive: Receive, send: Send) -> None:
    job, dialect = order.job, order.dialect

    async def put(body: bytes, more: bool = True) -> None:
        await send({"type": "http.response.body", "body": body, "more_body": more})

    async def tell(choice: Choice) -> None:
        async with aclosing(_read(engine, job, choice)) as pieces:
            async for parts in pieces:
                if chunk := dialect.delta(choice.index, parts):
                    await put(chunk)
        await put(dialect.last(choice.index, choice.finish_reason, job.clock.milliseconds()))

    headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await put(b"".join(dialect.first(choice.index) for choice in job.choices))
    try:
        await _each(job, tell)
    except ApplianceError as error:
        await put(sse(error_body(error)), more=False)
        return
    end = dialect.usage(job.usage()) if order.include_usage else b""
    await put(end + DONE, more=False)


async def whole(engine: Engine, order: Order, scope: Scope, receive: Receive, send: Send) -> None:
    job = order.job
    answers: dict[int, Parts] = {}

    async def collect(choice: Choice) -> None:
        async with aclosing(_read(engine, job, choice)) as pieces:
            answers[choice.index] = joined([parts async for parts in pieces])

    await _each(job, collect)
    answer = order.dialect.whole(
        [WholeChoice(c.index, answers[c.index], c.finish_reason) for c in job.choices],
        job.usage(),
        job.clock.milliseconds(),
    )
    await JSONResponse(answer)(scope, receive, send)


async def _each(job: Job, work: Callable[[Choice], Awaitable[None]]) -> None:
    """All choices side by side; the first error ends them all and is raised."""
    if len(job.choices) == 1:
        await work(job.choices[0])
        return
    tasks = [asyncio.ensure_future(work(choice)) for choice in job.choices]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _read(engine: Engine, job: Job, choice: Choice) -> AsyncGenerator[Parts, None]:
    """Raises EngineFailed."""
    try:
        async with aclosing(engine.run(job, choice)) as pieces:
            async for parts in pieces:
                yield parts
    except BackendFailed as error:
        raise EngineFailed("%(reason)s", reason=str(error)) from error
