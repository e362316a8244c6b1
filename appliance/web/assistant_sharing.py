"""Sharing an assistant: links and frames for other sites, each with a limited key of its own.

Such a key opens this one assistant's talk page and nothing else; it can be revoked by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Response
from markupsafe import escape

from appliance.domain import Phrase
from appliance.errors import InvalidRequest, NotFound, PermissionDenied
from appliance.ledger.tables_keys import ApiKey
from appliance.web.assets import assets
from appliance.web.page import Page, PageDep
from appliance.web.page_route import PageRoute
from appliance.web.presets import Known, found

router = APIRouter(route_class=PageRoute)
RATE = "20/minute"
ANSWER_TOKENS = 1024
SHARE = "assistant_share.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareView:
    """`link` or `line` is there once, right after its key was made; `local`: nobody else can
    reach this machine."""

    assistant: Known
    keys: Sequence[ApiKey]
    local: bool
    link: str = ""
    line: str = ""
    problem: Phrase | None = None


@router.get("/assistants/{assistant_id}/share")
async def shared(page: PageDep, assistant_id: str) -> Response:
    return await _show(page, await _admins(page, assistant_id))


@router.post("/assistants/{assistant_id}/share")
async def share(
    page: PageDep,
    assistant_id: str,
    name: Annotated[str, Form()] = "",
    use: Annotated[Literal["link", "widget"], Form()] = "link",
) -> Response:
    """Makes the key. Its secret is only in this answer: after a redirect it could not be shown."""
    known = await _admins(page, assistant_id)
    try:
        _, secret = await page.parts.keys.create(
            name.strip(), scopes=["chat"], assistants=[known.id], rate=RATE,
            max_tokens=ANSWER_TOKENS,
        )  # fmt: skip
    except InvalidRequest as error:
        return await _show(page, known, problem=error.phrase, status=422)
    base = _base(page)
    talk = f"{base}/assistants/{known.id}/talk?"
    if use == "link":
        return await _show(page, known, link=talk + urlencode({"key": secret}))
    framed = talk + urlencode({"embed": 1, "key": secret})
    line = (
        f'<script src="{base}/widget.js" data-talk="{escape(framed)}" '
        f'data-label="{escape(known.name)}" async></script>'
    )
    return await _show(page, known, line=line)


@router.post("/assistants/{assistant_id}/share/revoke")
async def revoke(page: PageDep, assistant_id: str, name: Annotated[str, Form()]) -> Response:
    known = await _admins(page, assistant_id)
    if name not in {key.name for key in await _keys(page, known)}:
        raise NotFound("There is no key called “%(name)s”.", name=name)
    await page.parts.keys.revoke(name)
    return page.redirect(f"/assistants/{known.id}/share")


@router.get("/widget.js")
async def widget() -> Response:
    """The script that other sites load; it has no secret in it."""
    headers = {"Cross-Origin-Resource-Policy": "cross-origin", "Cache-Control": "max-age=3600"}
    return Response(assets()["widget.js"].body, media_type="text/javascript", headers=headers)


async def _admins(page: Page, assistant_id: str) -> Known:
    if not page.caller.is_admin:
        raise PermissionDenied("Only the owner or an admin key may share an assistant.")
    return await found(page, assistant_id)


async def _keys(page: Page, known: Known) -> list[ApiKey]:
    keys = await page.parts.keys.list()
    return [key for key in keys if key.assistants == [known.id] and key.state != "revoked"]


async def _show(
    page: Page,
    known: Known,
    *,
    link: str = "",
    line: str = "",
    problem: Phrase | None = None,
    status: int = 200,
) -> Response:
    view = ShareView(
        assistant=known,
        keys=await _keys(page, known),
        local=page.caller.via == "owner" and not page.parts.reach.urls(),
        link=link,
        line=line,
        problem=problem,
    )
    return page.render(SHARE, view, status=status)


def _base(page: Page) -> str:
    """An address that others can reach, where there is one."""
    here = str(page.request.base_url).rstrip("/")
    return next(iter(page.parts.reach.urls()), here).rstrip("/")
