"""`/admin`: the engine, keys, the queue and the ledger; the owner or an admin key only.

A key for the history may read the ledger too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Depends, Request

from appliance.api import admin_engine, admin_keys, admin_queue, admin_replay, admin_requests
from appliance.api.parts import ApiParts
from appliance.errors import PermissionDenied
from appliance.gateway.elsewhere import Elsewhere
from appliance.gateway.identity import Caller
from appliance.gateway.queue import Queue
from appliance.ledger.history import History
from appliance.ledger.keys import KeyStore
from appliance.ledger.queries import Queries


def router(
    parts: ApiParts,
    keys: KeyStore,
    queries: Queries,
    history: History,
    elsewhere: Elsewhere,
    queue: Queue,
) -> APIRouter:
    routes = APIRouter(prefix="/admin", tags=["admin"])
    admins = [Depends(_only(parts.identify, _is_admin))]
    routes.include_router(admin_engine.router(parts.engine), dependencies=admins)
    routes.include_router(admin_keys.router(keys), dependencies=admins)
    routes.include_router(admin_queue.router(queue), dependencies=admins)
    replays = admin_replay.router(parts, queries, elsewhere)
    routes.include_router(replays, dependencies=admins)
    readers = [Depends(_only(parts.identify, _may_read))]
    routes.include_router(admin_requests.router(queries, history), dependencies=readers)
    return routes


def _is_admin(caller: Caller, _: str) -> bool:
    return caller.is_admin


def _may_read(caller: Caller, method: str) -> bool:
    return caller.is_admin or (caller.sees_all and method == "GET")


def _only(
    identify: Callable[[Request], Awaitable[Caller]], allowed: Callable[[Caller, str], bool]
) -> Callable[[Request], Awaitable[None]]:
    async def check(request: Request) -> None:
        if not allowed(await identify(request), request.method):
            raise PermissionDenied("Only the owner or an admin key may do this.")

    return check
