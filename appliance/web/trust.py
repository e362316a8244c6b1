"""How to trust this appliance's certificates on each system, and the file for it. Open to all."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fastapi import APIRouter, Response

from appliance.errors import NotFound
from appliance.web.page import OpenPageDep
from appliance.web.page_route import PageRoute

router = APIRouter(route_class=PageRoute)
FILE = "/trust/appliance.crt"
# In this order: an iPad says Macintosh in part, Android says Linux too.
SYSTEMS = {"ios": "iPhone|iPad", "android": "Android", "windows": "Windows"}
SYSTEMS |= {"macos": "Macintosh", "linux": "Linux"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustView:
    """`fingerprint` is None when there is no authority of ours to trust. `system` is the reader's,
    as far as the browser says; its steps are open."""

    file: str
    fingerprint: str | None
    system: str
    is_encrypted: bool


@router.get("/trust")
async def trust(page: OpenPageDep) -> Response:
    from appliance.lan.authority import fingerprint  # slow to import, and seldom needed

    authority = page.parts.reach.authority()
    agent = page.request.headers.get("user-agent", "")
    found = (name for name, words in SYSTEMS.items() if re.search(words, agent))
    view = TrustView(
        file=FILE,
        fingerprint=None if authority is None else fingerprint(authority),
        system="firefox" if "Firefox" in agent and "Android" not in agent else next(found, ""),
        is_encrypted=page.request.url.scheme == "https",
    )
    return page.render("trust.html", view)


@router.get(FILE)
async def authority_file(page: OpenPageDep) -> Response:
    """The certificate alone, never its key; with this type phones offer to install it."""
    authority = page.parts.reach.authority()
    if authority is None:
        raise NotFound("This appliance has no authority of its own; start it with --https.")
    named = {"Content-Disposition": 'attachment; filename="appliance.crt"'}
    return Response(authority, media_type="application/x-x509-ca-cert", headers=named)
