"""`/admin/engine`: how the engine is, and the orders that change it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from appliance.engine.status import Engine, EngineStatus

StatusObject = dict[str, Any]


def router(engine: Engine) -> APIRouter:
    routes = APIRouter(prefix="/engine")

    @routes.get("")
    async def status() -> StatusObject:
        """Phase, progress, facts and mishaps of the engine."""
        return shown(engine.status)

    @routes.post("/restart", status_code=202)
    async def restart() -> StatusObject:
        """End the engine process and start it anew, also after a failure."""
        await engine.restart()
        return shown(engine.status)

    @routes.post("/unload")
    async def unload() -> StatusObject:
        """Let running answers end, end the process, and answer once its memory is given back.

        Requests are refused with 503 until it is loaded again.
        """
        await engine.unload()
        async for status in engine.changes():
            if status.phase != "unloading":
                break
        return shown(engine.status)

    @routes.post("/load", status_code=202)
    async def load() -> StatusObject:
        """Load an unloaded model again; `/ready` says when it answers."""
        await engine.load()
        return shown(engine.status)

    return routes


def shown(status: EngineStatus) -> StatusObject:
    return {
        "phase": status.phase,
        "since": status.since,
        "stage": status.stage,
        "percent": status.percent,
        "reason": str(status.reason) if status.reason else None,
        "notice": str(status.notice) if status.notice else None,
        "on_demand": status.on_demand,
        "restarts": status.restarts,
        "incidents": [
            {"at": one.at, "cause": one.cause, "reason": str(one.reason)}
            for one in status.incidents
        ],
        "facts": asdict(status.facts) if status.facts else None,
    }
