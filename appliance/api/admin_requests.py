"""`/admin/requests`: the ledger for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Query

from appliance.errors import NotFound
from appliance.ledger.queries import Queries


def router(queries: Queries) -> APIRouter:
    routes = APIRouter(prefix="/requests")

    @routes.get("")
    async def requests(
        before: str | None = None, limit: int = Query(50, ge=1, le=500)
    ) -> dict[str, Any]:
        """The ledger, newest first; `next_before` asks for the page after this one."""
        page = await queries.requests(owner=None, before=before, limit=limit)
        return {"requests": [asdict(row) for row in page.rows], "next_before": page.next_before}

    @routes.get("/{id}")
    async def request(id: str) -> dict[str, Any]:  # noqa: A002 - the name in the URL
        """One request whole: input, output, parameters and timings."""
        found = await queries.request(id, owner=None)
        if found is None:
            raise NotFound("There is no request %(id)s.", id=id)
        return asdict(found)

    return routes
