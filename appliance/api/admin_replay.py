"""`/admin/requests/{id}/replay`: a recorded request once more, beside what it said then."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from appliance.api.parts import ApiParts
from appliance.api.streams import while_connected
from appliance.api.whole import WholeAnswer, WholeChoice, whole
from appliance.errors import NotFound
from appliance.gateway.context import Origin
from appliance.gateway.elsewhere import Elsewhere
from appliance.gateway.http import record_of
from appliance.gateway.replay import Changes, again
from appliance.ledger.queries import Queries
from appliance.ledger.tables import GenerationRecord


class Replay(BaseModel):
    """What is to be different; what is left out stays as it was."""

    model_config = ConfigDict(extra="forbid")

    temperature: float | None = Field(None, ge=0, le=2)
    thinking: bool | None = None
    model: str | None = Field(None, description="An adapter, or a model's name at `url`.")
    url: str | None = Field(None, description="Another OpenAI-compatible server, ending in /v1.")
    key: str | None = Field(None, description="The other server's key. It is not kept.")


def router(parts: ApiParts, queries: Queries, elsewhere: Elsewhere) -> APIRouter:
    routes = APIRouter(prefix="/requests")

    @routes.post("/{id}/replay")
    async def replay(id: str, body: Replay, request: Request) -> dict[str, Any]:  # noqa: A002
        """Run it again, here or elsewhere. The new row's `replay_of` names the first one."""
        first = await _generation(queries, id)
        changes = Changes(**body.model_dump())
        asked, caller = again(first, changes), await parts.identify(request)
        origin = Origin(dialect="replay", replay_of=first.id)
        request_id = record_of(request).id
        if changes.url:
            there = elsewhere.at(changes.url, changes.key, changes.model)
            events = there.run(asked, caller, request_id=request_id, origin=origin)
        else:
            events = parts.gateway.run(
                asked, caller, request_id=request_id, origin=origin, use_cache=False
            )
        answer = await while_connected(request, whole(events, asked.choices))
        return {"id": request_id, "first": _told(first), "again": _as_told(answer)}

    return routes


async def _generation(queries: Queries, request_id: str) -> GenerationRecord:
    found = await queries.request(request_id, owner=None)
    if found is None or found.generation is None:
        raise NotFound("There is no request %(id)s with an answer.", id=request_id)
    return found.generation


def _told(record: GenerationRecord) -> dict[str, Any]:
    return {
        "model": record.model,
        "output": record.output or "",
        "reasoning": record.reasoning or "",
        "tool_calls": record.tool_calls or [],
        "finish_reason": record.finish_reason,
        "completion_tokens": record.completion_tokens,
        "ttft_ms": record.ttft_ms,
        "duration_ms": record.duration_ms,
    }


def _as_told(answer: WholeAnswer) -> dict[str, Any]:
    """In the form of a row, so that both can be compared."""
    timings, usage = answer.finished.timings, answer.finished.usage
    return {
        "model": answer.admitted.model,
        "output": _in_one([choice.text for choice in answer.choices]),
        "reasoning": _in_one([choice.reasoning for choice in answer.choices]),
        "tool_calls": _calls(answer.choices),
        "finish_reason": answer.finished.finish_reason,
        "completion_tokens": usage.completion_tokens,
        "ttft_ms": timings.ttft_ms,
        "duration_ms": timings.duration_ms,
    }


def _calls(choices: Sequence[WholeChoice]) -> list[dict[str, Any]]:
    """Each call; with its choice where there are several choices."""
    return [
        ({"choice": number} if len(choices) > 1 else {}) | asdict(call)
        for number, choice in enumerate(choices)
        for call in choice.tool_calls
    ]


def _in_one(texts: list[str]) -> str:
    if len(texts) == 1 or not any(texts):
        return texts[0]
    return json.dumps(texts, ensure_ascii=False)
