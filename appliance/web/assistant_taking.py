"""Taking what the writing assistant or the code helper has made: accepted changes, or a file."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Response

from appliance.errors import InvalidRequest
from appliance.web.assistant_view import (
    assistant_of,
    found_run,
    make_outcome,
    refuse,
    result_text,
)
from appliance.web.difference import merge
from appliance.web.files import download
from appliance.web.order_form import FormDep
from appliance.web.page import ASKING, PageDep
from appliance.web.page_route import PageRoute

router = APIRouter(route_class=PageRoute, dependencies=ASKING)


@router.post("/write/{run_id}/apply")
@router.post("/code/{run_id}/apply")
async def apply(
    page: PageDep,
    run_id: str,
    form: FormDep,
    change: Annotated[list[int] | None, Form()] = None,
    accept: Annotated[str, Form()] = "chosen",
) -> Response:
    """Saves the text with the accepted changes (`all`, or those chosen) as its newest version."""
    run, bench = found_run(page, run_id)
    outcome = await make_outcome(page, run, bench)
    if outcome is None or not outcome.pieces:
        raise InvalidRequest("There is nothing to accept here.")
    try:
        order = bench.unchanged(form)
    except InvalidRequest as error:
        return await refuse(page, form.refused(error), (run, bench))
    accepted = range(outcome.changes) if accept == "all" else change or ()
    text = order.passage.with_part(merge(outcome.pieces, accepted))
    kind, task = assistant_of(page).id, order.task.id
    await page.parts.drafts.save(
        page.caller.name, kind, text, draft_id=bench.draft_id,
        task=task, language=order.language,
    )  # fmt: skip
    return page.redirect(f"/{kind}/drafts/{bench.draft_id}")


@router.get("/write/{run_id}/download")
@router.get("/code/{run_id}/download")
async def file(page: PageDep, run_id: str) -> Response:
    """The whole result as a file."""
    found = found_run(page, run_id)
    outcome = await make_outcome(page, *found)
    name = outcome.program.filename if outcome and outcome.program else "text.txt"
    return download(name, await result_text(page, *found))
