"""The writing assistant and the code helper: choose a task, paste, watch the result grow.

One page at two addresses, `/write` and `/code`; what differs is their file of tasks. A run's id
is the id of the request that ordered it, so its page can be opened again while the run is
remembered, and afterwards the history has all of it under the same id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Form, Query, Response
from fastapi.responses import HTMLResponse

from appliance.domain import Phrase
from appliance.errors import InvalidRequest, NotFound
from appliance.web.page import Page, PageDep, PageRoute
from appliance.web.run import Run
from appliance.web.streaming import stream
from appliance.web.tasks import (
    CODE_LANGUAGES,
    HUMAN_LANGUAGES,
    Assistant,
    Order,
    check_order,
    generation_request,
    load_assistant,
)

router = APIRouter(route_class=PageRoute)
TEMPLATE = "assistant.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderForm:
    """What has been typed and chosen, kept when it comes back with a problem at `wrong_field`."""

    task: str = ""
    text: str = ""
    language: str = ""
    target: str = ""
    wrong_field: str | None = None
    problem: Phrase | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AssistantView:
    """`run` is the answer beside the form, once something has been ordered.

    `mended` makes the form find its own place when it comes along with the answer.
    """

    assistant: Assistant
    form: OrderForm
    run: Run | None = None
    mended: bool = False
    human_languages: Mapping[str, str]
    code_languages: Mapping[str, str]


@router.get("/write")
@router.get("/code")
async def blank(
    page: PageDep, again: Annotated[str | None, Query(alias="from")] = None
) -> Response:
    """The empty form, or one whose input is the result of the run `from`."""
    found = _find(page, again) if again else None
    return page.render(TEMPLATE, _view(page, OrderForm(text=found[0].text if found else "")))


@router.post("/write")
@router.post("/code")
async def order(
    page: PageDep,
    task: Annotated[str, Form()] = "",
    text: Annotated[str, Form()] = "",
    language: Annotated[str, Form()] = "",
    target: Annotated[str, Form()] = "",
    mended: Annotated[bool, Form()] = False,
) -> Response:
    """`mended` comes from a form that shows a problem, and which then has to be drawn anew."""
    assistant = _assistant(page)
    try:
        wanted = check_order(assistant, task=task, text=text, language=language, target=target)
    except InvalidRequest as error:
        form = OrderForm(
            task=task, text=text, language=language, target=target,
            wrong_field=error.param, problem=error.phrase,
        )  # fmt: skip
        return _refuse(page, form)
    return _answer(page, _start(page, assistant, wanted), wanted, mended=mended)


@router.get("/write/{run_id}")
@router.get("/code/{run_id}")
async def result(page: PageDep, run_id: str) -> Response:
    found = _find(page, run_id)
    if found is None:
        return page.redirect(f"/history/{run_id}")
    run, wanted = found
    return page.render(TEMPLATE, _view(page, _form(wanted), run))


@router.get("/write/{run_id}/stream")
@router.get("/code/{run_id}/stream")
async def follow(page: PageDep, run_id: str) -> Response:
    found = _find(page, run_id)
    if found is None:
        raise NotFound("This result is no longer kept here. Look for it in the history.")
    run, _ = found

    async def finished() -> str:
        return page.html(TEMPLATE, _view(page, OrderForm(), run), block="outcome")

    return stream(page, run, finished)


@router.post("/write/{run_id}/stop")
@router.post("/code/{run_id}/stop")
async def stop(page: PageDep, run_id: str) -> Response:
    """Ends the run; what it has said so far stays. The open stream then shows the outcome."""
    if found := _find(page, run_id):
        found[0].stop()
    if page.wants_fragment:
        return Response(status_code=204)
    return page.redirect(f"/{_assistant(page).id}/{run_id}")


def _assistant(page: Page) -> Assistant:
    return load_assistant(page.request.url.path.split("/")[1])


def _find(page: Page, run_id: str) -> tuple[Run, Order] | None:
    """The caller's own run and its order, if it is remembered and this assistant's."""
    run = page.parts.runs.get(run_id, page.caller.name)
    if run is None or not isinstance(run.about, Order):
        return None
    wanted = run.about
    return (run, wanted) if _assistant(page).tasks.get(wanted.task.id) is wanted.task else None


def _start(page: Page, assistant: Assistant, wanted: Order) -> Run:
    facts = page.parts.engine.status.facts
    request = generation_request(assistant, wanted, page.language, facts)
    return page.parts.runs.start(
        page.request_id, request, page.caller,
        request_id=page.request_id, keep=_kept_by_the_ledger, about=wanted,
    )  # fmt: skip


async def _kept_by_the_ledger(run: Run) -> None:
    """The gateway writes the generation down; pages need no copy of their own."""


def _answer(page: Page, run: Run, wanted: Order, *, mended: bool) -> Response:
    """The way to the result's own page, or for htmx the result itself."""
    place = f"/{_assistant(page).id}/{run.id}"
    if not page.wants_fragment:
        return page.redirect(place)
    view = _view(page, _form(wanted), run, mended=mended)
    html = page.html(TEMPLATE, view, block="result")
    if mended:
        html += page.html(TEMPLATE, view, block="form")
    return HTMLResponse(html, headers={"HX-Push-Url": place, "Cache-Control": "no-store"})


def _refuse(page: Page, form: OrderForm) -> Response:
    """The form again, with the problem at its field; the result beside it stays."""
    block = "form" if page.wants_fragment else None
    response = page.render(TEMPLATE, _view(page, form), block=block, status=422)
    response.headers["HX-Retarget"] = "#order"
    response.headers["HX-Reswap"] = "outerHTML"
    return response


def _form(wanted: Order) -> OrderForm:
    return OrderForm(
        task=wanted.task.id, text=wanted.text, language=wanted.language, target=wanted.target
    )


def _view(
    page: Page, form: OrderForm, run: Run | None = None, *, mended: bool = False
) -> AssistantView:
    return AssistantView(
        assistant=_assistant(page),
        form=form,
        run=run,
        mended=mended,
        human_languages=HUMAN_LANGUAGES,
        code_languages=CODE_LANGUAGES,
    )
