"""The two generating routes: admit, then answer whole or as a stream, or stop when nobody listens.

Plain ASGI below Starlette's router: a token costs one message, and a caller who hangs up is
noticed at once, whether the answer is streamed or not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from appliance.engine.worker.backends.base import BackendFailed
from appliance.engine.worker.engine import Engine, Job
from appliance.engine.worker.reasoning import Parts
from appliance.engine.worker.schemas import ChatRequest, CompletionRequest, parse
from appliance.engine.worker.wire import (
    DONE,
    ChatDialect,
    CompletionDialect,
    Dialect,
    error_body,
    sse,
    usage_body,
)
from appliance.errors import ApplianceError, EngineFailed, EngineUnavailable

_RETRY_SECONDS = 2.0


@dataclass(slots=True)
class Slot:
    """Where the engine will stand once it is loaded."""

    engine: Engine | None = None

    def get(self) -> Engine:
        if self.engine is None:
            raise EngineUnavailable("The model is still loading.", retry_after=_RETRY_SECONDS)
        return self.engine


@dataclass(frozen=True, slots=True)
class Order:
    """A request that has been understood and admitted."""

    job: Job
    dialect: Dialect
    stream: bool
    include_usage: bool


async def chat_order(engine: Engine, body: bytes) -> Order:
    ask = parse(ChatRequest, body)
    job = await engine.chat_job(
        [turn.message() for turn in ask.messages],
        enable_thinking=ask.chat_template_kwargs.enable_thinking,
        max_tokens=ask.max_completion_tokens or ask.max_tokens,
        sampling=ask.sampling(),
        stop=ask.stop or (),
    )
    return Order(job, ChatDialect(engine.facts.model), bool(ask.stream), ask.include_usage)


async def text_order(engine: Engine, body: bytes) -> Order:
    ask = parse(CompletionRequest, body)
    job = await engine.text_job(
        ask.prompt, max_tokens=ask.max_tokens, sampling=ask.sampling(), stop=ask.stop or ()
    )
    return Order(job, CompletionDialect(engine.facts.model), bool(ask.stream), ask.include_usage)


class Generation:
    """ASGI endpoint of both generating routes."""

    def __init__(self, slot: Slot, order: Callable[[Engine, bytes], Awaitable[Order]]) -> None:
        self._slot = slot
        self._order = order

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        engine = self._slot.get()
        body = await _body(receive)
        if body is None:
            return
        order = await self._order(engine, body)
        respond = _stream if order.stream else _whole
        work = asyncio.ensure_future(respond(engine, order, scope, receive, send))
        gone = asyncio.ensure_future(_hung_up(receive))
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            work.cancel()  # changes nothing when it is done
        try:
            await work
        except asyncio.CancelledError:
            if not gone.done() or gone.cancelled():
                raise


async def _body(receive: Receive) -> bytes | None:
    """The whole body, or None when the caller left before it was sent."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += bytes(message.get("body", b""))
        if not message.get("more_body"):
            return body


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@dataclass(slots=True)
class Result:
    """Filled while the answer is read."""

    finish_reason: str = "stop"
    completion_tokens: int = 0


async def _read(engine: Engine, job: Job, result: Result) -> AsyncGenerator[Parts, None]:
    """The answer in pieces, the last held-back one included. Raises EngineFailed."""
    try:
        async with aclosing(engine.run(job)) as steps:
            async for step in steps:
                result.completion_tokens += len(step.tokens)
                yield job.answer.feed(step.tokens)
                if job.answer.stopped:
                    break
                result.finish_reason = step.finish_reason or result.finish_reason
    except BackendFailed as error:
        raise EngineFailed("%(reason)s", reason=str(error)) from error
    yield job.answer.flush()


async def _stream(engine: Engine, order: Order, scope: Scope, receive: Receive, send: Send) -> None:
    async def put(body: bytes, more: bool = True) -> None:
        await send({"type": "http.response.body", "body": body, "more_body": more})

    headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    job, dialect, result = order.job, order.dialect, Result()
    await put(dialect.first())
    try:
        async with aclosing(_read(engine, job, result)) as pieces:
            async for parts in pieces:
                if chunk := dialect.delta(parts):
                    await put(chunk)
    except ApplianceError as error:
        await put(sse(error_body(error)), more=False)
        return
    end = dialect.last(result.finish_reason, job.clock.milliseconds())
    if order.include_usage:
        end += dialect.usage(usage_body(len(job.prompt), result.completion_tokens))
    await put(end + DONE, more=False)


async def _whole(engine: Engine, order: Order, scope: Scope, receive: Receive, send: Send) -> None:
    job, result = order.job, Result()
    reasoning, text = [], []
    async with aclosing(_read(engine, job, result)) as pieces:
        async for parts in pieces:
            reasoning.append(parts.reasoning)
            text.append(parts.text)
    answer = order.dialect.whole(
        Parts("".join(reasoning), "".join(text)),
        result.finish_reason,
        usage_body(len(job.prompt), result.completion_tokens),
        job.clock.milliseconds(),
    )
    await JSONResponse(answer)(scope, receive, send)
