"""What is recorded of whoever looks: to see, to take away, to delete."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Form, Response

from appliance.errors import NotFound
from appliance.web.files import growing_download
from appliance.web.page import PageDep
from appliance.web.page_route import PageRoute

router = APIRouter(route_class=PageRoute)


@dataclass(frozen=True, slots=True)
class MineView:
    """`count` requests are recorded of `name`; `gone` have just been deleted."""

    name: str
    count: int
    gone: int | None = None


@router.get("/history/mine")
async def mine(page: PageDep, gone: int | None = None) -> Response:
    name = page.caller.name
    return page.render("mine.html", MineView(name, await page.parts.mine.count(name), gone))


@router.get("/history/mine/export")
async def take_away(page: PageDep) -> Response:
    """Every request of theirs whole, one line of JSON each, oldest first."""
    lines = page.parts.mine.export(page.caller.name)
    return growing_download(page, lines, "my-requests.jsonl", "application/x-ndjson")


@router.post("/history/mine/delete")
async def delete_all(page: PageDep) -> Response:
    gone = await page.parts.mine.delete(page.caller.name)
    return page.redirect(f"/history/mine?gone={gone}")


@router.post("/history/delete")
async def delete_one(page: PageDep, request_id: Annotated[str, Form()]) -> Response:
    """One's own request, or for an admin anybody's."""
    owner = None if page.caller.is_admin else page.caller.name
    found = await page.parts.queries.request(request_id, owner=owner)
    if found is None or found.request.key_name is None:
        raise NotFound("There is no such request, or it is somebody else's.")
    await page.parts.mine.delete(found.request.key_name, [request_id])
    return page.redirect("/history")
