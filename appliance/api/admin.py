"""`/admin`: keys, the engine and the ledger for programs; the owner or an admin key only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from appliance.api.parts import ApiParts
from appliance.engine.status import EngineStatus
from appliance.errors import NotFound, PermissionDenied
from appliance.gateway.identity import Caller
from appliance.ledger.keys import KeyStore
from appliance.ledger.queries import Queries
from appliance.ledger.tables import ApiKey

KeyObject = dict[str, Any]


class NewKey(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    expires_in_days: float | None = Field(None, gt=0, le=36500)
    rate: str | None = Field(None, description="Such as 60/minute.")
    admin: bool = False


def router(parts: ApiParts, keys: KeyStore, queries: Queries) -> APIRouter:
    routes = APIRouter(
        prefix="/admin", tags=["admin"], dependencies=[Depends(_admin(parts.identify))]
    )

    @routes.get("/engine")
    async def engine() -> dict[str, Any]:
        """Phase, progress and facts of the engine."""
        return _status(parts.engine.status)

    @routes.post("/engine/restart", status_code=202)
    async def restart() -> dict[str, Any]:
        """End the engine process and start it anew, also after a failure."""
        await parts.engine.restart()
        return _status(parts.engine.status)

    @routes.get("/keys")
    async def list_keys() -> list[KeyObject]:
        """All keys, revoked and expired ones too; never a secret."""
        return [_shown(key) for key in await keys.list()]

    @routes.post("/keys", status_code=201)
    async def create_key(body: NewKey) -> KeyObject:
        """Make a key. `secret` is in this answer and nowhere else."""
        days = body.expires_in_days
        until = None if days is None else datetime.now(UTC) + timedelta(days=days)
        key, secret = await keys.create(
            body.name, expires_at=until, rate=body.rate, is_admin=body.admin
        )
        return _shown(key) | {"secret": secret}

    @routes.delete("/keys/{name:path}")
    async def revoke_key(name: str) -> KeyObject:
        """From now on the key opens nothing; its name stays with its history."""
        return _shown(await keys.revoke(name))

    @routes.get("/requests")
    async def requests(
        before: str | None = None, limit: int = Query(50, ge=1, le=500)
    ) -> dict[str, Any]:
        """The ledger, newest first; `next_before` asks for the page after this one."""
        page = await queries.requests(owner=None, before=before, limit=limit)
        return {"requests": [asdict(row) for row in page.rows], "next_before": page.next_before}

    @routes.get("/requests/{id}")
    async def request(id: str) -> dict[str, Any]:  # noqa: A002 - the name in the URL
        """One request whole: input, output, parameters and timings."""
        found = await queries.request(id, owner=None)
        if found is None:
            raise NotFound("There is no request %(id)s.", id=id)
        return asdict(found)

    return routes


def _admin(
    identify: Callable[[Request], Awaitable[Caller]],
) -> Callable[[Request], Awaitable[None]]:
    async def only_admins(request: Request) -> None:
        caller = await identify(request)
        if not caller.is_admin:
            raise PermissionDenied("Only the owner or an admin key may do this.")

    return only_admins


def _shown(key: ApiKey) -> KeyObject:
    return key.model_dump(mode="json", exclude={"hash"}) | {"state": key.state}


def _status(status: EngineStatus) -> dict[str, Any]:
    return {
        "phase": status.phase,
        "since": status.since,
        "stage": status.stage,
        "percent": status.percent,
        "reason": str(status.reason) if status.reason else None,
        "notice": str(status.notice) if status.notice else None,
        "restarts": status.restarts,
        "facts": asdict(status.facts) if status.facts else None,
    }
