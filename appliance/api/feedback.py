"""`/v1/feedback`: what the holder of a key thinks of an answer they were given."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from appliance.api.parts import ApiParts
from appliance.errors import NotFound
from appliance.gateway.identity import Caller
from appliance.ledger.history import LONGEST_NOTE, History
from appliance.ledger.queries import Queries


class Opinion(BaseModel):
    model_config = ConfigDict(extra="forbid")

    request_id: str = Field(description="The X-Request-ID that came with the answer.")
    rating: Literal[1, -1] | None = Field(None, description="1: good, -1: bad.")
    note: str = Field("", max_length=LONGEST_NOTE)


def router(parts: ApiParts, queries: Queries, history: History) -> APIRouter:
    routes = APIRouter(tags=["feedback"])

    @routes.post("/v1/feedback")
    async def feedback(body: Opinion, caller: Caller = Depends(parts.identify)) -> dict[str, Any]:
        """Keep an opinion of one's own request; the last one counts, an empty one takes it back."""
        owner = None if caller.is_admin else caller.name
        if await queries.request(body.request_id, owner=owner) is None:
            raise NotFound("There is no request %(id)s of yours.", id=body.request_id)
        await history.rate(body.request_id, caller.name, body.rating, body.note)
        return body.model_dump()

    return routes
