"""How the engine is, on top of every page while there is something to say."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from fastapi import APIRouter, Response

from appliance.web.page import Page, PageDep
from appliance.web.page_route import PageRoute
from appliance.web.sse import event, event_stream, wants_once

router = APIRouter(route_class=PageRoute)
SETTLED = ("ready", "failed", "unloaded")


@dataclass(frozen=True)
class BannerView:
    """The banner knows only the frame."""


@router.get("/engine/banner")
async def banner(page: PageDep) -> Response:
    return page.render("banner.html", BannerView())


@router.get("/engine/banner/stream")
async def follow(page: PageDep) -> Response:
    """The banner after each change, until the engine is ready or will not be by itself."""
    return event_stream(page, _banners(page))


async def _banners(page: Page) -> AsyncGenerator[str, None]:
    async for status in page.parts.engine.changes():
        shown = page.html("banner.html", BannerView(), block="inner")
        if status.phase in SETTLED:
            shown += page.html("banner.html", BannerView(), block="settled")
        yield event("banner", shown)
        if status.phase in SETTLED:
            break
        if wants_once(page.request):
            return
    yield event("settled", "")
