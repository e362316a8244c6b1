"""`/admin/requests`: the ledger for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from appliance.errors import NotFound
from appliance.ledger.filters import Selection
from appliance.ledger.history import History
from appliance.ledger.queries import Queries


class Asked(BaseModel):
    """Which requests; what is left out does not narrow."""

    model_config = ConfigDict(extra="forbid")

    before: str | None = Field(None, description="`next_before` of the page before this one.")
    limit: int = Field(50, ge=1, le=500)
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    key: str | None = None
    ip: str | None = None
    route: str | None = None
    dialect: str | None = None
    model: str | None = None
    status: int | None = Field(None, ge=1, le=599, description="404, or 4 for 400 to 499.")
    slow: bool = Field(False, description="10 seconds or more.")
    failed: bool = False
    feedback: Literal["up", "down", "any"] | None = None
    answers: bool = Field(False, description="Only those that asked the engine.")
    q: str | None = Field(None, description="Words in input, output or thinking.")

    def selection(self) -> Selection:
        narrower = self.model_dump(exclude={"before", "limit", "q"})
        return Selection(words=self.q or None, **narrower)


def router(queries: Queries, history: History) -> APIRouter:
    routes = APIRouter(prefix="/requests")

    @routes.get("")
    async def requests(asked: Annotated[Asked, Query()]) -> dict[str, Any]:
        """The ledger, newest first; `next_before` asks for the page after this one.

        `complete` false: looking further would take too long at once; go on with `next_before`.
        """
        page = await history.page(asked.selection(), before=asked.before, limit=asked.limit)
        rows = [asdict(row) for row in page.rows]
        return {"requests": rows, "next_before": page.next_before, "complete": page.complete}

    @routes.get("/{id}")
    async def request(id: str) -> dict[str, Any]:  # noqa: A002 - the name in the URL
        """One request whole: input, output, parameters and timings."""
        found = await queries.request(id, owner=None)
        if found is None:
            raise NotFound("There is no request %(id)s.", id=id)
        return asdict(found)

    return routes
