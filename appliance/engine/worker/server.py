"""HTTP around the engine: OpenAI's routes, and vLLM's for tokens, for one client, our own front."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from appliance.engine.config import EngineFacts
from appliance.engine.worker.generation import Generation, Slot
from appliance.engine.worker.job import Job
from appliance.engine.worker.orders import chat_order, text_order
from appliance.engine.worker.token_routes import TokenRoutes
from appliance.engine.worker.wire import error_body
from appliance.errors import ApplianceError, NotAuthenticated, NotFound

# A step of the slowest machine here, the longest prompt read in one go, takes some minutes.
STALL_SECONDS = 600.0


def create_app(slot: Slot, key: str) -> ASGIApp:
    """The worker's application. `slot` is filled later; until then answers are 503."""
    running: dict[str, Job] = {}
    tokens = TokenRoutes(slot)

    async def models(request: Request) -> JSONResponse:
        return JSONResponse({"object": "list", "data": _model_cards(slot.get().facts)})

    async def health(request: Request) -> JSONResponse:
        if slot.engine is None:
            return JSONResponse({"status": "loading"})
        if slot.engine.silent_seconds > STALL_SECONDS:
            return JSONResponse({"status": "stalled"}, status_code=503)
        return JSONResponse({"status": "ready"})

    async def metrics(request: Request) -> PlainTextResponse:
        """In vLLM's words, as the front reads them of any engine."""
        engine = slot.get()
        return PlainTextResponse(f"vllm:kv_cache_usage_perc {engine.kv_usage:.4f}\n")

    async def answer_now(request: Request) -> Response:
        _hurry(running, request.path_params["id"])
        return Response(status_code=204)

    chat, text = Generation(slot, chat_order, running), Generation(slot, text_order, running)
    routes = [
        Route("/health", health),
        Route("/metrics", metrics),
        Route("/v1/models", models),
        Route("/v1/chat/completions", chat, methods=["POST"]),
        Route("/v1/chat/completions/{id}/answer_now", answer_now, methods=["POST"]),
        Route("/v1/completions", text, methods=["POST"]),
        Route("/tokenize", tokens.tokenize, methods=["POST"]),
        Route("/detokenize", tokens.detokenize, methods=["POST"]),
    ]
    return KeyGuard(Starlette(routes=routes, exception_handlers={ApplianceError: _refuse}), key)


def _model_cards(facts: EngineFacts) -> list[dict[str, Any]]:
    """The model itself, then its adapters."""
    card = {"object": "model", "owned_by": "appliance", "max_model_len": facts.context_length}
    own = {"id": facts.model, **card}
    return [own, *({"id": name, **card, "parent": facts.model} for name in facts.adapters)]


def _hurry(running: Mapping[str, Job], answer: str) -> None:
    """End the thinking of a running answer. Raises NotFound or NotThinking."""
    job = running.get(answer)
    if job is None:
        raise NotFound("No answer %(id)s is being generated.", param="id", id=answer)
    thinking = [choice for choice in job.choices if choice.answer.thinking]
    if not thinking:
        raise NotThinking("The answer %(id)s is not thinking now.", param="id", id=answer)
    for choice in thinking:
        choice.hurried = True


class NotThinking(ApplianceError):
    """There is no thinking to end."""

    status = 409
    code = "not_thinking"


async def _refuse(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, ApplianceError):
        raise error
    return _error_response(error)


def _error_response(error: ApplianceError) -> JSONResponse:
    wait = {"Retry-After": f"{error.retry_after:.0f}"} if error.retry_after else None
    return JSONResponse(error_body(error), status_code=error.status, headers=wait)


class KeyGuard:
    """Everything but /health wants the key that the parent chose for this process."""

    def __init__(self, app: ASGIApp, key: str) -> None:
        self._app = app
        self._header = b"Bearer " + key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] != "/health":
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(given, self._header):
                refusal = NotAuthenticated("The engine's key is missing or wrong.")
                await _error_response(refusal)(scope, receive, send)
                return
        await self._app(scope, receive, send)
