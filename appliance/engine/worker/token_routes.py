"""Text to tokens and back over HTTP, as vLLM has it. Generates nothing."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse

from appliance.domain import GenerationRequest
from appliance.engine.worker.generation import Slot
from appliance.engine.worker.parsing import parse
from appliance.engine.worker.schemas import Strict
from appliance.engine.worker.schemas_chat import WithTools
from appliance.errors import InvalidRequest


class TokenizeText(Strict):
    model: str | None = None
    prompt: str
    add_special_tokens: bool = True
    return_token_strs: bool = False


class TokenizeChat(WithTools):
    model: str | None = None
    add_generation_prompt: bool = True
    return_token_strs: bool = False


class Detokenize(Strict):
    model: str | None = None
    tokens: list[Annotated[int, Field(ge=0)]]


class TokenRoutes:
    """Endpoints over whichever engine stands in the slot."""

    def __init__(self, slot: Slot) -> None:
        self._slot = slot

    async def tokenize(self, request: Request) -> JSONResponse:
        engine, body = self._slot.get(), await request.body()
        ask: TokenizeText | TokenizeChat
        special = False
        if b'"messages"' not in body:
            ask = parse(TokenizeText, body)
            text, special = ask.prompt, ask.add_special_tokens
        else:
            ask = parse(TokenizeChat, body)
            thinking = ask.chat_template_kwargs.enable_thinking
            text = engine.intake.render(
                GenerationRequest(
                    prompt=ask.turns(), tools=ask.offered(), enable_thinking=thinking
                ),
                {},
                add_generation_prompt=ask.add_generation_prompt,
            )
        ids = await engine.intake.encode(text, add_special_tokens=special)
        spell = engine.tokenizer.spell
        strings = [spell(token).decode(errors="replace") for token in ids]
        return JSONResponse(
            {
                "count": len(ids),
                "max_model_len": engine.facts.context_length,
                "tokens": ids,
                "token_strs": strings if ask.return_token_strs else None,
            }
        )

    async def detokenize(self, request: Request) -> JSONResponse:
        engine = self._slot.get()
        ask = parse(Detokenize, await request.body())
        size = engine.tokenizer.vocabulary_size
        for at, token in enumerate(ask.tokens):
            if token >= size:
                raise InvalidRequest(
                    "tokens.%(at)s is %(token)s, but this model's ids are 0 to %(last)s.",
                    param=f"tokens.{at}",
                    at=at,
                    token=token,
                    last=size - 1,
                )
        return JSONResponse({"prompt": engine.tokenizer.decode(ask.tokens)})
