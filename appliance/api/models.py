"""`/v1/models`: what is served, in OpenAI's dialect, with the numbers that clients plan by."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends

from appliance.api.heads import answer_heads
from appliance.api.parts import ApiParts
from appliance.engine.status import EngineStatus
from appliance.errors import NotFound


def router(parts: ApiParts) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["OpenAI"], dependencies=[Depends(parts.identify)])

    @routes.get("/models")
    async def models() -> dict[str, Any]:
        """The served model and its adapters; an empty list while it is being loaded."""
        return {"object": "list", "data": _models(parts.engine.status)}

    @routes.get("/models/{name:path}")
    async def model(name: str) -> dict[str, Any]:
        """One served model by its name."""
        adapter = parts.check_model(name)
        found = _models(parts.engine.status)
        if not found:
            raise NotFound("No model is loaded yet. See /ready.", param="model")
        return next((card for card in found if card["id"] == adapter), found[0])

    return answer_heads(routes)


def _models(status: EngineStatus) -> list[dict[str, Any]]:
    """The model first, then its adapters, whose `parent` it is."""
    facts = status.facts
    if facts is None:
        return []
    card = {
        "object": "model",
        "created": int(status.since.timestamp()),
        "owned_by": "appliance",
        "root": facts.model,
        "max_model_len": facts.context_length,
        "precision": facts.precision,
        "engine": facts.backend,
    }
    base = {"id": facts.model, **card, "parent": None}
    return [base, *({"id": name, **card, "parent": facts.model} for name in facts.adapters)]
