"""The only way to an engine: OpenAI's wire in, our events out.

It knows a URL, a key and a model name, and nothing of what answers there. Closing the stream
closes the connection, which cancels the work in the engine.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import Any
from urllib.parse import quote

import httpx2
from pydantic_core import from_json

from appliance.domain import GenerationRequest
from appliance.engine.config import Endpoint
from appliance.engine.posting import NO_MORE, broken, first_bytes, posted
from appliance.engine.wire_body import path_and_body
from appliance.engine.wire_events import (
    Accepted,
    Completed,
    EngineEvent,
    WireReader,
    nonsense,
)
from appliance.engine.wire_refusal import as_asked, refusal
from appliance.errors import InvalidRequest, NotFound
from appliance.observability import context

__all__ = ["Accepted", "Completed", "EngineClient", "EngineEvent"]

ASK_SECONDS = 60.0
MAX_REFUSAL_BYTES = 64 * 1024
MAX_ANSWER_BYTES = 64 * 1024 * 1024
# Servers that forget to name the type of a stream are forgiven.
NOT_A_STREAM = ("application/json", "text/html")
# Our worker names the answer here; `answer_now` takes the name.
ID_HEADER = "x-generation-id"


class EngineClient:
    """Streams one generation at a time from an `Endpoint`; safe for any number at once."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def stream(
        self,
        endpoint: Endpoint,
        request: GenerationRequest,
        span_id: str | None = None,
        headers: Mapping[str, str] = NO_MORE,
    ) -> AsyncGenerator[EngineEvent, None]:
        """Yield `Accepted`, deltas and a `ChoiceFinished` for each choice, then `Completed`.

        The engine is told the request's trace, and that it works for the span `span_id` in it;
        `headers` are further ones.
        Raises InvalidRequest, NotFound (an unknown model) or EngineUnavailable before `Accepted`,
        EngineFailed at any time.
        """
        path, body = path_and_body(endpoint.model, request)
        sent = {**_headers(endpoint, span_id), **headers}
        reader = WireReader(request.choices)
        accepted = False
        try:
            async with posted(self._http, endpoint.url + path, body, sent) as response:
                await _check_stream(response, request)
                taken = Accepted(response.headers.get(ID_HEADER))
                if not _may_be_late(request):
                    accepted = True
                    yield taken
                async for data in response.aiter_bytes():
                    if accepted:
                        events: Iterable[EngineEvent] = reader.feed(data)
                    else:
                        events, accepted = _first(reader, data, request), True
                        yield taken
                    for event in events:
                        yield event
                    if reader.done:
                        break
                yield reader.end()
        except httpx2.HTTPError as error:
            raise broken(error, accepted) from error

    async def answer_now(self, endpoint: Endpoint, engine_id: str) -> None:
        """End the thinking of a running answer, known by its `Accepted.engine_id`.

        Raises NotFound when no such answer is running or the engine cannot do this,
        InvalidRequest when it is not thinking, EngineUnavailable, EngineFailed.
        """
        path = f"/chat/completions/{quote(engine_id, safe='')}/answer_now"
        status, body = await self._post(endpoint, endpoint.url + path, {})
        if status in (404, 405):
            raise NotFound("This answer is over, or its engine cannot be asked to answer now.")
        if status == 409:
            raise InvalidRequest("The model is not thinking (any more): its answer has begun.")
        if status // 100 != 2:
            raise refusal(status, body)

    async def ask(self, endpoint: Endpoint, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """What the engine answers at `path` below its root, beside `/v1` and not in it.

        Raises NotFound when the engine has no such route, else as `stream` before `Accepted`.
        """
        status, answer = await self._post(endpoint, endpoint.url.removesuffix("/v1") + path, body)
        if status in (404, 405, 501):
            raise NotFound("The engine that is running has no %(path)s.", path=path)
        if status // 100 != 2:
            raise refusal(status, answer)
        try:
            found = from_json(answer)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise nonsense(answer)
        return found

    async def _post(self, endpoint: Endpoint, url: str, body: dict[str, Any]) -> tuple[int, bytes]:
        try:
            waits = {"timeout": httpx2.Timeout(ASK_SECONDS).as_dict()}
            async with posted(self._http, url, body, _headers(endpoint), waits) as response:
                return response.status_code, await first_bytes(response, MAX_ANSWER_BYTES)
        except httpx2.HTTPError as error:
            raise broken(error, accepted=False) from error


def _headers(endpoint: Endpoint, span_id: str | None = None) -> dict[str, str]:
    headers = {"Authorization": f"Bearer {endpoint.key}"} if endpoint.key else {}
    if (parent := context.traceparent(span_id)) is not None:
        headers["traceparent"] = parent
    return headers


def _may_be_late(request: GenerationRequest) -> bool:
    """Whether an engine may find only after its 200 that it cannot hold the form."""
    return request.constraint is not None or bool(request.tools)


def _first(reader: WireReader, data: bytes, request: GenerationRequest) -> list[EngineEvent]:
    """What the first bytes say. Raises a refusal that names the form."""
    try:
        return list(reader.feed(data))
    except InvalidRequest as error:
        if error.param is None and request.constraint is not None:
            error.param = request.constraint.field
        raise


async def _check_stream(response: httpx2.Response, request: GenerationRequest) -> None:
    """Raises what a response means that is not a stream of events."""
    if response.status_code != 200:
        error = refusal(response.status_code, await first_bytes(response, MAX_REFUSAL_BYTES))
        raise as_asked(error, request.constraint)
    if response.headers.get("content-type", "").startswith(NOT_A_STREAM):
        raise nonsense(await first_bytes(response, MAX_REFUSAL_BYTES))
