"""`POST /generate`: one prompt in, one text out, for scripts that want nothing else."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from appliance.api.caching import cache_header, may_use_cache
from appliance.api.formats import FormatFields
from appliance.api.parts import ApiParts
from appliance.api.sampling import SamplingFields
from appliance.api.streams import data, while_connected
from appliance.api.thinking import ThinkingFields
from appliance.api.waiting import streamed
from appliance.api.whole import whole
from appliance.domain import (
    Event,
    Finished,
    GenerationRequest,
    Message,
    ReasoningDelta,
    TextDelta,
)
from appliance.errors import ApplianceError
from appliance.gateway.context import Origin
from appliance.gateway.http import record_of
from appliance.gateway.identity import Caller

EXAMPLES: list[Any] = [
    {"prompt": "Explain in two sentences why the sky is blue.", "max_tokens": 120},
    {"prompt": "Write a haiku about rain.", "temperature": 0, "stream": True},
    {"prompt": "Is a whale a fish?", "structured_outputs": {"choice": ["yes", "no"]}},
]


class GenerateRequest(SamplingFields, FormatFields, ThinkingFields):
    model_config = ConfigDict(json_schema_extra={"examples": EXAMPLES})

    model: str | None = Field(None, description="A name from /v1/models, or auto.")
    prompt: str = Field(min_length=1, description="What the user says.")
    max_tokens: int = Field(512, ge=1, description="Most tokens of the answer.")
    temperature: float = Field(0.7, ge=0, le=2, description="0 takes the likeliest token.")
    top_p: float = Field(0.9, gt=0, le=1)
    stream: bool = Field(False, description="Send server-sent events as the text grows.")
    raw: bool = Field(False, description="Continue the prompt as it is, without chat template.")
    enable_thinking: bool | None = Field(None, description="Let a thinking model think first.")

    def generation_request(
        self, adapter: str | None = None, most: int | None = None
    ) -> GenerationRequest:
        """`most` is what the key allows: an answer's length that was left out is no longer."""
        if most is not None and "max_tokens" not in self.model_fields_set:
            self.max_tokens = min(self.max_tokens, most)
        return GenerationRequest(
            prompt=self.prompt if self.raw else (Message("user", self.prompt),),
            sampling=self.sampling(),
            enable_thinking=self.thinks(self.enable_thinking),
            thinking_budget=self.budget,
            constraint=self.constraint(),
            adapter=adapter,
        )


class GenerateResponse(BaseModel):
    """Times are milliseconds from the arrival of the request."""

    id: str
    model: str
    generated_text: str
    reasoning: str | None = None
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    queue_ms: float
    ttft_ms: float | None
    duration_ms: float


def router(parts: ApiParts) -> APIRouter:
    routes = APIRouter(tags=["generate"])

    @routes.post("/generate", response_model=GenerateResponse)
    async def generate(
        body: GenerateRequest,
        request: Request,
        response: Response,
        caller: Caller = Depends(parts.identify),
    ) -> Response | GenerateResponse:
        """Answer one prompt. 422 for bad input, 403 for a bad key, 429 or 503 with Retry-After."""
        adapter = parts.check_model(body.model)
        wish = body.generation_request(adapter, caller.max_tokens)
        request_id, use_cache = record_of(request).id, may_use_cache(request)
        events = parts.gateway.run(
            wish,
            caller,
            request_id=request_id,
            use_cache=use_cache,
            origin=Origin(dialect="generate"),
        )
        if body.stream:
            place = partial(parts.gateway.place, request_id, caller)
            return await streamed(request, events, lambda _: _GenerateWire(), _error, place)
        answer = await while_connected(request, whole(events))
        response.headers.update(cache_header(answer.admitted))
        return GenerateResponse(
            id=request_id,
            model=adapter or answer.admitted.model,
            generated_text=answer.choices[0].text,
            reasoning=answer.choices[0].reasoning or None,
            **_outcome(answer.finished),
        )

    return routes


class _GenerateWire:
    """`text` and `reasoning` as they grow, then one event with the outcome."""

    def start(self) -> bytes:
        return b""

    def encode(self, event: Event) -> bytes:
        match event:
            case TextDelta(text):
                return data({"text": text})
            case ReasoningDelta(text):
                return data({"reasoning": text})
            case Finished():
                return data({"done": True, **_outcome(event)})
            case _:
                return b""


def _outcome(finished: Finished) -> dict[str, Any]:
    usage, timings = finished.usage, finished.timings
    return {
        "finish_reason": finished.finish_reason,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cached_tokens": usage.cached_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "queue_ms": round(timings.queue_ms, 1),
        "ttft_ms": None if timings.ttft_ms is None else round(timings.ttft_ms, 1),
        "duration_ms": round(timings.duration_ms, 1),
    }


def _error(error: ApplianceError) -> dict[str, Any]:
    return {"error": str(error), "code": error.code}
