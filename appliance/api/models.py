"""`/v1/models`: what is served, in OpenAI's dialect, with the numbers that clients plan by."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends

from appliance.api.parts import ApiParts
from appliance.engine.status import EngineStatus
from appliance.errors import NotFound


def router(parts: ApiParts) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["OpenAI"], dependencies=[Depends(parts.identify)])

    @routes.get("/models")
    async def models() -> dict[str, Any]:
        """The served model; an empty list while it is being loaded."""
        return {"object": "list", "data": _models(parts.engine.status)}

    @routes.get("/models/{name:path}")
    async def model(name: str) -> dict[str, Any]:
        """One served model by its name."""
        parts.check_model(name)
        found = _models(parts.engine.status)
        if not found:
            raise NotFound("No model is loaded yet. See /ready.", param="model")
        return found[0]

    return routes


def _models(status: EngineStatus) -> list[dict[str, Any]]:
    facts = status.facts
    if facts is None:
        return []
    return [
        {
            "id": facts.model,
            "object": "model",
            "created": int(status.since.timestamp()),
            "owned_by": "appliance",
            "max_model_len": facts.context_length,
            "precision": facts.precision,
            "engine": facts.backend,
        }
    ]
