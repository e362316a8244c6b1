"""Inviting a team-mate: a link and a QR code that give a key to the first who opens them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from fastapi import APIRouter, Response

from appliance.errors import PermissionDenied
from appliance.lan.qr import as_image
from appliance.ledger.invite import invite
from appliance.web.keys_form import read_new_key
from appliance.web.page import Page, PageDep
from appliance.web.page_route import PageRoute

router = APIRouter(route_class=PageRoute)
VALID = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class InviteView:
    """`image` is the link as a QR code. `is_reachable`: other machines can open it at all."""

    name: str
    link: str
    image: str
    hours: int
    is_reachable: bool


@router.post("/keys/invite")
async def make_invitation(page: PageDep) -> Response:
    """Reads the form of a new key; the key's secret is made when the link is opened."""
    if not page.caller.is_admin:
        raise PermissionDenied("Only the owner and admin keys may invite. Ask the owner.")
    name, rules = read_new_key(await page.request.form())
    code = await invite(page.parts.keys, page.parts.joining, name, valid=VALID, **rules)
    address, is_reachable = _address(page)
    link = f"{address}/join?code={code}"
    return page.render(
        "invite.html",
        InviteView(
            name=name,
            link=link,
            image=as_image(link),
            hours=VALID // timedelta(hours=1),
            is_reachable=is_reachable,
        ),
    )


def _address(page: Page) -> tuple[str, bool]:
    """Where a team-mate comes in: on our address, unless this browser came by a better one."""
    urls = page.parts.reach.urls()
    own = str(page.request.base_url).rstrip("/")
    if page.caller.via != "owner" or not urls:
        return own, bool(urls) or page.caller.via != "owner"
    return urls[0], True
