"""Signing in with a key, for browsers that are not on this machine, and signing out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Form, Query, Response

from appliance.domain import Phrase
from appliance.gateway.identity import SessionClaim
from appliance.web.page import OpenPage, OpenPageDep, PageDep
from appliance.web.page_route import PageRoute

router = APIRouter(route_class=PageRoute)
SIGNED_OUT = Phrase("This browser was signed out. Sign in again with your key.")
PROBLEMS = {
    "revoked": Phrase("This key was revoked. Ask the owner for a new one."),
    "expired": Phrase("This key has expired. Ask the owner for a new one."),
    "unknown": Phrase("This key is not known here. Check it, or ask the owner for a new one."),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginView:
    """`next` is the path to go to afterwards; `signed_in` is True when a cookie is in the way."""

    next: str
    problem: Phrase | None = None
    signed_in: bool = False


@router.get("/login")
async def login_form(page: OpenPageDep, next: Annotated[str, Query()] = "/") -> Response:  # noqa: A002
    claim = page.parts.sessions.read(page.request)
    view = LoginView(
        next=local_path(next),
        problem=await _problem_of(page, claim) if claim else None,
        signed_in=claim is not None,
    )
    return page.render("login.html", view)


@router.post("/login")
async def login(
    page: OpenPageDep,
    key: Annotated[str, Form()] = "",
    next: Annotated[str, Form()] = "/",  # noqa: A002
) -> Response:
    address = page.request.client.host if page.request.client else ""
    await page.parts.login_tries.check(address)
    found = await page.parts.keys.find(key.strip())
    problem = PROBLEMS.get(found.state if found else "unknown")
    if found is None or problem is not None:
        await page.parts.login_tries.failed(address)
        view = LoginView(next=local_path(next), problem=problem)
        return page.render("login.html", view, status=403)
    page.parts.keys.touch(found.id)
    place = local_path(next)
    if place == "/" and not {"chat", "admin"} & set(found.scopes):
        place = "/history"
    response = page.redirect(place)
    page.parts.sessions.start(page.request, response, found.id, found.session_epoch)
    return response


@router.post("/logout")
async def logout(page: OpenPageDep) -> Response:
    response = page.redirect("/")
    page.parts.sessions.end(response)
    return response


@router.post("/logout/everywhere")
async def logout_everywhere(page: PageDep) -> Response:
    """Ends the sessions of the caller's key in every browser; the owner's order ends them all."""
    if page.caller.via == "owner":
        await anyio.to_thread.run_sync(page.parts.sign_out_all)
    else:
        await page.parts.joining.end_sessions(page.caller.name)
    response = page.redirect("/connect")
    page.parts.sessions.end(response)
    return response


async def _problem_of(page: OpenPage, claim: SessionClaim) -> Phrase | None:
    """Why a browser that was signed in has to sign in again."""
    key = await page.parts.keys.get(claim.key_id)
    if key is not None and key.state == "active" and key.session_epoch != claim.epoch:
        return SIGNED_OUT
    return PROBLEMS.get(key.state if key else "unknown")


def local_path(wanted: str) -> str:
    """`wanted` if it is a path of this site, else the start page: no open redirect."""
    is_local = wanted.startswith("/") and not wanted.startswith(("//", "/\\"))
    return wanted if is_local and wanted.isprintable() else "/"
