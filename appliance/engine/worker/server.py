"""HTTP around the engine: OpenAI's routes for one client, our own front."""

from __future__ import annotations

import hmac

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from appliance.engine.worker.generation import Generation, Slot, chat_order, text_order
from appliance.engine.worker.wire import error_body
from appliance.errors import ApplianceError, NotAuthenticated


def create_app(slot: Slot, key: str) -> ASGIApp:
    """The worker's application. `slot` is filled later; until then answers are 503."""

    async def models(request: Request) -> JSONResponse:
        facts = slot.get().facts
        card = {"id": facts.model, "object": "model", "owned_by": "appliance"}
        return JSONResponse(
            {"object": "list", "data": [card | {"max_model_len": facts.context_length}]}
        )

    async def health(request: Request) -> JSONResponse:
        return JSONResponse({"status": "loading" if slot.engine is None else "ready"})

    routes = [
        Route("/health", health),
        Route("/v1/models", models),
        Route("/v1/chat/completions", Generation(slot, chat_order), methods=["POST"]),
        Route("/v1/completions", Generation(slot, text_order), methods=["POST"]),
    ]
    return KeyGuard(Starlette(routes=routes, exception_handlers={ApplianceError: _refuse}), key)


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
