"""`/v1/chat/completions` and `/v1/completions`: OpenAI's dialect."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from functools import partial

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from appliance.api.caching import cache_header, may_use_cache
from appliance.api.errors import envelope
from appliance.api.openai_answers import ChatWire, CompletionWire
from appliance.api.openai_schemas import ChatCompletionRequest, CompletionRequest
from appliance.api.parts import ApiParts
from appliance.api.several import Run, side_by_side
from appliance.api.streams import while_connected
from appliance.api.waiting import streamed
from appliance.api.whole import whole
from appliance.domain import Admitted, Event
from appliance.gateway.context import Origin
from appliance.gateway.http import record_of
from appliance.gateway.identity import Caller


def router(parts: ApiParts) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["OpenAI"])

    @routes.post("/chat/completions")
    async def chat_completions(
        body: ChatCompletionRequest, request: Request, caller: Caller = Depends(parts.identify)
    ) -> Response:
        """Answer a conversation; `stream: true` sends chunks as server-sent events."""
        return await _answer(parts, body, ChatWire, request, caller)

    @routes.post("/completions")
    async def completions(
        body: CompletionRequest, request: Request, caller: Caller = Depends(parts.identify)
    ) -> Response:
        """Continue a text as it is, without chat template; or several, side by side."""
        return await _answer(parts, body, CompletionWire, request, caller)

    return routes


async def _answer(
    parts: ApiParts,
    body: ChatCompletionRequest | CompletionRequest,
    wire: type[ChatWire] | type[CompletionWire],
    request: Request,
    caller: Caller,
) -> Response:
    adapter = parts.check_model(body.model)
    wishes = body.generation_requests(adapter)
    choices = sum(wish.choices for wish in wishes)
    request_id = record_of(request).id
    runs = [
        partial(
            parts.gateway.run,
            wish,
            caller,
            request_id=request_id,
            use_cache=may_use_cache(request),
            origin=Origin(dialect="openai"),
        )
        for wish in wishes
    ]
    events = runs[0]() if len(runs) == 1 else _several(parts, runs, wishes[0].choices, caller)
    if not body.stream:
        answer = await while_connected(request, whole(events, choices))
        model = adapter or answer.admitted.model
        said = wire(request_id, model, choices=choices).whole(answer)
        return JSONResponse(said, headers=cache_header(answer.admitted))

    def encoder(first: Admitted) -> ChatWire | CompletionWire:
        model = adapter or first.model
        return wire(request_id, model, choices=choices, include_usage=body.include_usage)

    place = partial(parts.gateway.place, request_id, caller)
    return await streamed(request, events, encoder, envelope, place)


def _several(
    parts: ApiParts, runs: Sequence[Run], choices: int, caller: Caller
) -> AsyncGenerator[Event, None]:
    """As many at once as the engine serves and the caller's key allows."""
    facts = parts.engine.status.facts
    places = facts.max_concurrency // choices if facts else 1
    at_once = min(places, caller.parallel or places)
    return side_by_side(runs, choices=choices, at_once=max(1, at_once))
