"""Joining by an invitation: one look, one click, and the browser is signed in with a key."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Form, Query, Response

from appliance.errors import ApplianceError
from appliance.web.connect import connect_view
from appliance.web.page import OpenPage, OpenPageDep, carrying
from appliance.web.page_route import PageRoute

router = APIRouter(route_class=PageRoute)


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinView:
    """`name` is the key's; None when the code gives nothing. `signed_in`: the browser has a key."""

    name: str | None
    code: str = ""
    signed_in: bool = False


@router.get("/join")
async def look(page: OpenPageDep, code: Annotated[str, Query()] = "") -> Response:
    """Only shows a button: programs that make previews of links open them too."""
    address = _address(page)
    await page.parts.login_tries.check(address)
    key = await page.parts.joining.invited(code)
    if key is None:
        return await _no_invitation(page, address)
    return page.render("join.html", JoinView(name=key.name, code=code))


@router.post("/join")
async def join(page: OpenPageDep, code: Annotated[str, Form()] = "") -> Response:
    """Answers with the secret in the page itself: after a redirect it could not be shown."""
    address = _address(page)
    await page.parts.login_tries.check(address)
    joined = await page.parts.joining.join(code)
    if joined is None:
        return await _no_invitation(page, address)
    key, secret = joined
    page.caller = await page.parts.identify(carrying(page.request, secret))
    response = page.render("connect.html", connect_view(page, key.name, secret=secret))
    page.parts.sessions.start(page.request, response, key.id, key.session_epoch)
    return response


async def _no_invitation(page: OpenPage, address: str) -> Response:
    signed_in = await _is_signed_in(page)
    if not signed_in:  # a person who reloads the page has not guessed
        await page.parts.login_tries.failed(address)
    return page.render("join.html", JoinView(name=None, signed_in=signed_in), status=404)


async def _is_signed_in(page: OpenPage) -> bool:
    if page.parts.sessions.read(page.request) is not None:
        with suppress(ApplianceError):
            page.caller = await page.parts.identify(page.request)
    return page.caller is not None


def _address(page: OpenPage) -> str:
    return page.request.client.host if page.request.client else ""
