"""What was asked and answered: a list, newest first, narrowed as one likes, and live."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import APIRouter, Form, Request, Response

from appliance.ledger.filters import Selection
from appliance.ledger.tables_feedback import SavedView
from appliance.ledger.views import RequestRow
from appliance.web.history_form import HistoryForm
from appliance.web.page import Page, PageDep
from appliance.web.page_route import PageRoute
from appliance.web.sse import event, event_stream

router = APIRouter(route_class=PageRoute)
ROWS_A_PAGE = 30
LOOK_EVERY_SECONDS = 1.0
ROWS_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class HistoryView:
    """One page of the list. `older` is the id to go on from, None at the end.

    `complete` is false when the search has not looked at everything yet; `newest` is the id from
    which on a live page adds rows, None on a page that is not live.
    """

    rows: Sequence[RequestRow]
    form: HistoryForm
    is_first_page: bool
    older: str | None
    complete: bool = True
    newest: str | None = None
    views: Sequence[SavedView] = ()
    values: Mapping[str, Sequence[str]] | None = None
    own_only: bool = False


@router.get("/history")
async def history(
    page: PageDep, request: Request, before: str | None = None, live: str = ""
) -> Response:
    form = HistoryForm.read(request.query_params)
    chosen = form.selection(page.owner)
    found = await page.parts.history.page(chosen, before=before, limit=ROWS_A_PAGE)
    if page.wants_fragment:
        view = HistoryView(found.rows, form, before is None, found.next_before, found.complete)
        return page.render("history.html", view, block="rows")
    view = HistoryView(
        rows=found.rows,
        form=form,
        is_first_page=before is None,
        older=found.next_before,
        complete=found.complete,
        newest=(found.rows[0].id if found.rows else "0") if live and before is None else None,
        views=await page.parts.history.views(page.caller.name),
        values=await page.parts.history.values() if page.owner is None else None,
        own_only=page.owner is not None,
    )
    return page.render("history.html", view)


@router.get("/history/live")
async def follow(page: PageDep, request: Request, after: str) -> Response:
    """New rows of a selection as they are finished, as server-sent events."""
    form = HistoryForm.read(request.query_params)
    return event_stream(page, _new_rows(page, form, form.selection(page.owner), after))


@router.post("/history/views")
async def save_view(
    page: PageDep, name: Annotated[str, Form()], query: Annotated[str, Form()] = ""
) -> Response:
    form = HistoryForm.read(_pairs(query))
    await page.parts.history.save_view(page.caller.name, name, form.query)
    return page.redirect(f"/history?{form.query}")


@router.post("/history/views/delete")
async def delete_view(page: PageDep, name: Annotated[str, Form()]) -> Response:
    await page.parts.history.delete_view(page.caller.name, name)
    return page.redirect("/history")


async def _new_rows(
    page: Page, form: HistoryForm, chosen: Selection, after: str
) -> AsyncGenerator[str, None]:
    shown: deque[str] = deque(maxlen=4 * ROWS_AT_ONCE)
    while True:
        found = await page.parts.history.newer(chosen, after, ROWS_AT_ONCE)
        new = [row for row in found if row.id not in shown]
        if new:
            shown.extend(row.id for row in new)
            view = HistoryView(new, form, is_first_page=True, older=None)
            yield event("rows", page.html("history.html", view, block="rows"))
        await asyncio.sleep(LOOK_EVERY_SECONDS)


def _pairs(query: str) -> dict[str, str]:
    return dict(parse_qsl(query))
