"""`/tokenize` and `/detokenize` as vLLM has them: tokens as the engine itself counts them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field, model_validator

from appliance.api.openai_messages import ChatMessage
from appliance.api.openai_tools import FunctionTool
from appliance.api.parts import ApiParts
from appliance.api.thinking import TemplateSwitches
from appliance.errors import NotFound

EXAMPLES: list[Any] = [
    {"prompt": "Why is the sky blue?"},
    {"messages": [{"role": "user", "content": "Why is the sky blue?"}], "return_token_strs": True},
]
MODEL = Field(None, description="A name from /v1/models, or auto.")


class TokenizeRequest(BaseModel):
    """Either `prompt`, or `messages` which the model's chat template turns into a prompt."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": EXAMPLES})

    model: str | None = MODEL
    prompt: str | None = None
    messages: Annotated[list[ChatMessage], Field(min_length=1)] | None = None
    add_special_tokens: bool | None = None
    add_generation_prompt: bool | None = None
    tools: list[FunctionTool] | None = None
    chat_template_kwargs: TemplateSwitches | None = None
    return_token_strs: bool | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> TokenizeRequest:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either prompt or messages")
        return self


class DetokenizeRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"tokens": [1, 2]}]})

    model: str | None = MODEL
    tokens: list[Annotated[int, Field(ge=0)]]


def router(parts: ApiParts) -> APIRouter:
    routes = APIRouter(tags=["tokens"], dependencies=[Depends(parts.identify)])

    @routes.post("/tokenize")
    async def tokenize(body: TokenizeRequest) -> dict[str, Any]:
        """Count the tokens of a prompt or of a conversation, and list them."""
        return await _ask(parts, "/tokenize", body, ("count", "tokens"))

    @routes.post("/detokenize")
    async def detokenize(body: DetokenizeRequest) -> dict[str, Any]:
        """The text that tokens stand for."""
        return await _ask(parts, "/detokenize", body, ("prompt",))

    return routes


async def _ask(
    parts: ApiParts,
    path: str,
    body: TokenizeRequest | DetokenizeRequest,
    promised: tuple[str, ...],
) -> dict[str, Any]:
    """Raises NotFound for an engine without the route, or with another one of that name."""
    adapter = parts.check_model(body.model)
    given = body.model_dump(exclude_unset=True, by_alias=True)
    fields = {name: value for name, value in given.items() if value is not None}
    async with parts.engine.lease() as endpoint:
        model = adapter or endpoint.model
        answer = await parts.client.ask(endpoint, path, fields | {"model": model})
    if any(name not in answer for name in promised):
        raise NotFound("The engine that is running has no %(path)s.", path=path)
    return answer
