"""How a person's programs connect: addresses, ready lines, and signing browsers out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from fastapi import APIRouter, Response

from appliance.web.page import OpenPage, PageDep
from appliance.web.page_route import PageRoute

router = APIRouter(route_class=PageRoute)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectView:
    """`secret` is there once, right after an invitation was opened by `name`. `base_url` is where
    this browser found us; `others` are further addresses. `needs_trust`: programs must be given
    our authority's certificate. `may_end`: whose sessions the button ends."""

    name: str
    base_url: str
    others: Sequence[str]
    model: str
    secret: str | None = None
    needs_trust: bool = False
    may_end: str = ""


@router.get("/connect")
async def connect(page: PageDep) -> Response:
    ends = {"owner": "all", "session": "own"}.get(page.caller.via, "")
    return page.render("connect.html", connect_view(page, page.caller.name, may_end=ends))


def connect_view(
    page: OpenPage, name: str, *, secret: str | None = None, may_end: str = ""
) -> ConnectView:
    """The lines for `name`, at the address that this browser uses."""
    facts = page.parts.engine.status.facts
    base_url = str(page.request.base_url).rstrip("/")
    return ConnectView(
        name=name,
        base_url=base_url,
        others=[url for url in page.parts.reach.urls() if url != base_url],
        model=facts.model if facts else "auto",
        secret=secret,
        needs_trust=urlsplit(base_url).scheme == "https" and bool(page.parts.reach.authority()),
        may_end=may_end,
    )
