"""The writing assistant and the code helper: choose a task, watch the result, or try it again.

A run's id is the id of the request that ordered it, so its page can be opened again while the
run is remembered, and afterwards the history has all of it under the same id. The text is saved
as a version before the work begins.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Response
from fastapi.responses import HTMLResponse

from appliance.errors import InvalidRequest
from appliance.gateway.context import Origin
from appliance.web.assistant_view import (
    LOST,
    TEMPLATE,
    LostView,
    assistant_of,
    find_run,
    refuse,
    result_text,
    view,
)
from appliance.web.order_form import Bench, FormDep, OrderForm, form_of
from appliance.web.page import ASKING, Page, PageDep
from appliance.web.page_route import PageRoute
from appliance.web.prompts import generation_request
from appliance.web.run import Run
from appliance.web.streaming import announcement, stream
from appliance.web.tasks import Order, check_order

router = APIRouter(route_class=PageRoute, dependencies=ASKING)
Text = Annotated[str, Form()]
Mended = Annotated[bool, Form()]


@router.get("/write")
@router.get("/code")
async def blank(
    page: PageDep, again: Annotated[str | None, Query(alias="from")] = None
) -> Response:
    """The empty form, or one whose input is the result of the run `from`."""
    found = find_run(page, again) if again else None
    text = await result_text(page, *found) if found else ""
    return page.render(TEMPLATE, await view(page, OrderForm(text=text)))


@router.post("/write")
@router.post("/code")
async def order(
    page: PageDep, form: FormDep, start: Text = "", end: Text = "", mended: Mended = False
) -> Response:
    """`mended` comes from a form that shows a problem, and which then has to be drawn anew."""
    try:
        wanted = _ordered(page, form, start, end)
    except InvalidRequest as error:
        return await refuse(page, form.refused(error))
    return await _answer(page, wanted, form.draft, mended=mended)


@router.post("/write/{run_id}/retry")
@router.post("/code/{run_id}/retry")
async def retry(
    page: PageDep,
    run_id: str,
    form: FormDep,
    start: Text = "",
    end: Text = "",
    mended: Mended = False,
) -> Response:
    """The same order once more: the same text, part and choices, whatever is chosen by now.

    Of a run that was lost with an earlier start of the appliance, the form is all that is left.
    """
    found = find_run(page, run_id)
    if found and not found[0].over:
        raise InvalidRequest("An answer is still being written here. Stop it, or wait for its end.")
    try:
        wanted = found[1].unchanged(form) if found else _ordered(page, form, start, end)
    except InvalidRequest as error:
        return await refuse(page, form.refused(error), found)
    draft_id = found[1].draft_id if found else form.draft
    return await _answer(page, wanted, draft_id, mended=mended, retried=True)


@router.get("/write/{run_id}")
@router.get("/code/{run_id}")
async def result(page: PageDep, run_id: str) -> Response:
    found = find_run(page, run_id)
    if found is None:
        return page.redirect(f"/history/{run_id}")
    return page.render(TEMPLATE, await view(page, form_of(found[1]), found))


@router.get("/write/{run_id}/stream")
@router.get("/code/{run_id}/stream")
async def follow(page: PageDep, run_id: str) -> Response:
    found = find_run(page, run_id)

    async def finished() -> str:
        if found is None:
            return page.html(LOST, LostView(assistant_of(page), run_id))
        shown = await view(page, form_of(found[1]), found)
        return page.html(TEMPLATE, shown, block="outcome") + announcement(page, found[0])

    return stream(page, found[0] if found else None, finished)


@router.post("/write/{run_id}/stop")
@router.post("/code/{run_id}/stop")
async def stop(page: PageDep, run_id: str) -> Response:
    """Ends the run; what it has said so far stays. The open stream then shows the outcome."""
    if found := find_run(page, run_id):
        found[0].stop()
    else:
        await page.parts.runs.stop(run_id, page.caller.name)
    if page.wants_fragment:
        return Response(status_code=204)
    return page.redirect(f"/{assistant_of(page).id}/{run_id}")


def _ordered(page: Page, form: OrderForm, start: str, end: str) -> Order:
    """What the form asks for, or InvalidRequest with the field to mend."""
    return check_order(
        assistant_of(page), task=form.task, text=form.text, language=form.language,
        target=form.target, think=form.think, start=start, end=end, quoted=form.passage,
    )  # fmt: skip


def _start(page: Page, bench: Bench) -> Run:
    assistant, facts = assistant_of(page), page.parts.engine.status.facts
    asked = generation_request(assistant, bench.order, page.language, facts)
    return page.parts.runs.start(
        page.request_id, asked, page.caller,
        request_id=page.request_id, keep=_kept_by_the_ledger, about=bench,
        origin=Origin(dialect=assistant.id),
    )  # fmt: skip


async def _kept_by_the_ledger(run: Run) -> None:
    """The gateway writes the generation down; pages need no copy of their own."""


async def _answer(
    page: Page, wanted: Order, draft_id: str, *, mended: bool, retried: bool = False
) -> Response:
    """Sets the order going, under the version of the draft that it works on.

    Answers with the way to the result's own page, or for htmx with the result and what changes
    along with it.
    """
    kind = assistant_of(page).id
    saved = await page.parts.drafts.save(
        page.caller.name, kind, wanted.passage.text, draft_id=draft_id, language=wanted.language
    )
    bench = Bench(wanted, saved.draft_id)
    run = _start(page, bench)
    place = f"/{kind}/{run.id}"
    if not page.wants_fragment:
        return page.redirect(place)
    shown: Any = await view(page, form_of(bench), (run, bench))
    shown = replace(shown, fragment=True, mended=mended, retried=retried)
    blocks = ["result", "fields" if mended else "draft_field", "list", "versions"]
    html = "".join(page.html(TEMPLATE, shown, block=block) for block in blocks)
    if run.over:  # so soon that there is no stream whose end would say it
        html += announcement(page, run)
    return HTMLResponse(html, headers={"HX-Push-Url": place, "Cache-Control": "no-store"})
