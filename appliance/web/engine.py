"""The engine's buttons on pages: plain forms, so that they work without JavaScript."""

from __future__ import annotations

from fastapi import APIRouter, Response

from appliance.engine.status import Engine
from appliance.errors import PermissionDenied
from appliance.web.page import Page, PageDep
from appliance.web.page_route import PageRoute

router = APIRouter(route_class=PageRoute)


@router.post("/engine/restart")
async def restart(page: PageDep) -> Response:
    await _engine(page).restart()
    return page.redirect("/")


@router.post("/engine/unload")
async def unload(page: PageDep) -> Response:
    await _engine(page).unload()
    return page.redirect("/status")


@router.post("/engine/load")
async def load(page: PageDep) -> Response:
    await _engine(page).load()
    return page.redirect("/")


def _engine(page: Page) -> Engine:
    """The engine, for those who may give it orders."""
    if not page.caller.is_admin:
        raise PermissionDenied("Only the owner or an admin key may give the engine orders.")
    return page.parts.engine
