"""The writing assistant and the code helper: choose a task, watch the result, take what is good.

A run's id is the id of the request that ordered it, so its page can be opened again while the
run is remembered, and afterwards the history has all of it under the same id. The text is saved
as a version before the work begins, and again with the changes that are accepted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Query, Response
from fastapi.responses import HTMLResponse

from appliance.errors import InvalidRequest, NotFound
from appliance.gateway.context import Origin
from appliance.web.assistant_view import (
    TEMPLATE,
    Bench,
    OrderForm,
    assistant_of,
    find_run,
    form_of,
    make_outcome,
    refuse,
    result_text,
    view,
)
from appliance.web.difference import merge
from appliance.web.files import download
from appliance.web.page import ASKING, Page, PageDep
from appliance.web.page_route import PageRoute
from appliance.web.passage import normal
from appliance.web.prompts import generation_request
from appliance.web.run import Run
from appliance.web.streaming import announcement, stream
from appliance.web.tasks import check_order

router = APIRouter(route_class=PageRoute, dependencies=ASKING)
Text = Annotated[str, Form()]


async def _form(
    task: Text = "", text: Text = "", language: Text = "", target: Text = "", passage: Text = "",
    draft: Text = "", think: Annotated[bool, Form()] = False,
) -> OrderForm:  # fmt: skip
    return OrderForm(
        task=task, text=text, language=language, target=target, passage=passage,
        draft=draft, think=think,
    )  # fmt: skip


FormDep = Annotated[OrderForm, Depends(_form)]


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
    page: PageDep,
    form: FormDep,
    start: Text = "",
    end: Text = "",
    mended: Annotated[bool, Form()] = False,
) -> Response:
    """`mended` comes from a form that shows a problem, and which then has to be drawn anew."""
    assistant, owner = assistant_of(page), page.caller.name
    try:
        wanted = check_order(
            assistant, task=form.task, text=form.text, language=form.language, target=form.target,
            think=form.think, start=start, end=end, quoted=form.passage,
        )  # fmt: skip
    except InvalidRequest as error:
        return await refuse(page, replace(form, wrong_field=error.param, problem=error.phrase))
    saved = await page.parts.drafts.save(
        owner, assistant.id, wanted.passage.text, draft_id=form.draft, language=wanted.language
    )
    bench = Bench(wanted, saved.draft_id)
    return await _answer(page, _start(page, bench), bench, mended=mended)


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
    found = _found(page, run_id)

    async def finished() -> str:
        shown = await view(page, form_of(found[1]), found)
        return page.html(TEMPLATE, shown, block="outcome") + announcement(page, found[0])

    return stream(page, found[0], finished)


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


@router.post("/write/{run_id}/apply")
@router.post("/code/{run_id}/apply")
async def apply(
    page: PageDep,
    run_id: str,
    form: FormDep,
    change: Annotated[list[int] | None, Form()] = None,
    accept: Text = "chosen",
) -> Response:
    """Saves the text with the accepted changes (`all`, or those chosen) as its newest version."""
    run, bench = _found(page, run_id)
    outcome = await make_outcome(page, run, bench)
    if outcome is None or not outcome.pieces:
        raise InvalidRequest("There is nothing to accept here.")
    if normal(form.text) != bench.order.passage.text:
        problem = InvalidRequest(
            "The text was changed after this was asked for. Ask again, or take the change back."
        )
        changed = replace(form_of(bench), text=form.text)
        wrong = replace(changed, wrong_field="text", problem=problem.phrase)
        return await refuse(page, wrong, (run, bench))
    accepted = range(outcome.changes) if accept == "all" else change or ()
    text = bench.order.passage.with_part(merge(outcome.pieces, accepted))
    kind, task = assistant_of(page).id, bench.order.task.id
    await page.parts.drafts.save(
        page.caller.name, kind, text, draft_id=bench.draft_id,
        task=task, language=bench.order.language,
    )  # fmt: skip
    return page.redirect(f"/{kind}/drafts/{bench.draft_id}")


@router.get("/write/{run_id}/download")
@router.get("/code/{run_id}/download")
async def file(page: PageDep, run_id: str) -> Response:
    """The whole result as a file."""
    found = _found(page, run_id)
    outcome = await make_outcome(page, *found)
    name = outcome.program.filename if outcome and outcome.program else "text.txt"
    return download(name, await result_text(page, *found))


def _found(page: Page, run_id: str) -> tuple[Run, Bench]:
    found = find_run(page, run_id)
    if found is None:
        raise NotFound("This result is no longer kept here. Look for it in the history.")
    return found


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


async def _answer(page: Page, run: Run, bench: Bench, *, mended: bool) -> Response:
    """The way to the result's own page, or for htmx the result and what changes along with it."""
    place = f"/{assistant_of(page).id}/{run.id}"
    if not page.wants_fragment:
        return page.redirect(place)
    shown: Any = await view(page, form_of(bench), (run, bench))
    shown = replace(shown, fragment=True, mended=mended)
    blocks = ["result", "fields" if mended else "draft_field", "list", "versions"]
    html = "".join(page.html(TEMPLATE, shown, block=block) for block in blocks)
    return HTMLResponse(html, headers={"HX-Push-Url": place, "Cache-Control": "no-store"})
