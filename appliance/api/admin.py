"""`/admin`: the engine, keys and the ledger for programs; the owner or an admin key only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Depends, Request

from appliance.api import admin_engine, admin_keys, admin_requests
from appliance.api.parts import ApiParts
from appliance.errors import PermissionDenied
from appliance.gateway.identity import Caller
from appliance.ledger.keys import KeyStore
from appliance.ledger.queries import Queries


def router(parts: ApiParts, keys: KeyStore, queries: Queries) -> APIRouter:
    routes = APIRouter(
        prefix="/admin", tags=["admin"], dependencies=[Depends(_admin(parts.identify))]
    )
    routes.include_router(admin_engine.router(parts.engine))
    routes.include_router(admin_keys.router(keys))
    routes.include_router(admin_requests.router(queries))
    return routes


def _admin(
    identify: Callable[[Request], Awaitable[Caller]],
) -> Callable[[Request], Awaitable[None]]:
    async def only_admins(request: Request) -> None:
        caller = await identify(request)
        if not caller.is_admin:
            raise PermissionDenied("Only the owner or an admin key may do this.")

    return only_admins
