"""Signing in with a key, for browsers that are not on this machine, and signing out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Form, Query, Response

from appliance.domain import Phrase
from appliance.web.page import OpenPageDep, PageRoute
from appliance.web.session import end_session, read_session, start_session

router = APIRouter(route_class=PageRoute)
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
    key_id = read_session(page.request, page.parts.session_secret)
    key = await page.parts.keys.get(key_id) if key_id else None
    view = LoginView(
        next=local_path(next),
        problem=PROBLEMS.get(key.state if key else "unknown") if key_id else None,
        signed_in=key_id is not None,
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
    response = page.redirect(local_path(next))
    start_session(page.request, response, found.id, page.parts.session_secret)
    return response


@router.post("/logout")
async def logout(page: OpenPageDep) -> Response:
    response = page.redirect("/")
    end_session(response)
    return response


def local_path(wanted: str) -> str:
    """`wanted` if it is a path of this site, else the start page: no open redirect."""
    is_local = wanted.startswith("/") and not wanted.startswith(("//", "/\\"))
    return wanted if is_local and wanted.isprintable() else "/"
