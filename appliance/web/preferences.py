"""Language and theme: two small forms in the frame of every page, remembered in cookies."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from appliance.gateway.origin import parts_of
from appliance.web.i18n import LANGUAGE_COOKIE
from appliance.web.page import THEME_COOKIE, OpenPageDep
from appliance.web.page_route import PageRoute

YEAR_SECONDS = 365 * 24 * 3600
router = APIRouter(route_class=PageRoute)


@router.post("/language")
async def choose_language(
    page: OpenPageDep, language: Annotated[Literal["en", "zh"], Form()]
) -> Response:
    return _remember(page.request, LANGUAGE_COOKIE, language)


@router.post("/theme")
async def choose_theme(
    page: OpenPageDep, theme: Annotated[Literal["auto", "light", "dark"], Form()]
) -> Response:
    return _remember(page.request, THEME_COOKIE, theme)


def _remember(request: Request, name: str, value: str) -> Response:
    """Back to where the form was, whatever the Referer claims: only its path is used."""
    came_from = parts_of(request.headers.get("referer", ""))
    back = came_from.path if came_from.path.startswith("/") else "/"
    if came_from.query:
        back = f"{back}?{came_from.query}"
    response = RedirectResponse("/" + back.lstrip("/"), status_code=303)
    response.set_cookie(
        name,
        value,
        max_age=YEAR_SECONDS,
        samesite="lax",
        httponly=True,
        secure=request.url.scheme == "https",
    )
    return response
