"""`/health`: the process is up. `/ready`: the engine answers, or why it does not. Open to all."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from appliance.api.errors import problem, retry_headers
from appliance.api.heads import answer_heads
from appliance.api.parts import ApiParts
from appliance.engine.status import unavailable


def router(parts: ApiParts) -> APIRouter:
    routes = APIRouter(tags=["health"])

    @routes.get("/health")
    async def health() -> dict[str, str]:
        """The process is up; says nothing of the engine."""
        return {"status": "ok", "version": parts.version}

    @routes.get("/ready", responses={503: {"description": "Not ready; `detail` says why."}})
    async def ready() -> Response:
        """The engine answers, or will for whoever asks it; else 503 with reason and progress."""
        status = parts.engine.status
        if status.facts is not None and (status.phase == "ready" or status.on_demand):
            state = "ready" if status.phase == "ready" else "on_demand"
            return JSONResponse({"status": state, "model": status.facts.model})
        error = unavailable(status)
        progress: dict[str, Any] = {"stage": status.stage, "percent": status.percent}
        response = problem(503, "Not ready", str(error), phase=status.phase, **progress)
        response.headers.update(retry_headers(error))
        return response

    return answer_heads(routes)
