"""The assistants' page: choose one, make one's own from any of them, change and delete those."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fastapi import APIRouter, Response

from appliance.domain import Phrase
from appliance.errors import InvalidRequest
from appliance.ledger.assistants import AssistantFields
from appliance.web import faq
from appliance.web.assistant_form import fields_of, read_form
from appliance.web.page import ASKING, Page, PageDep
from appliance.web.page_route import PageRoute
from appliance.web.presets import Known, found, listed

router = APIRouter(route_class=PageRoute, dependencies=ASKING)
LIST = "assistants.html"
EDIT = "assistant_edit.html"
BLANK = Known(id="", kind="chat", name="", for_everyone=False, mine=True)


@dataclass(frozen=True, slots=True)
class AssistantsView:
    assistants: tuple[Known, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EditView:
    """`assistant` as typed so far; `action` is where it goes, `entries` what its list holds."""

    assistant: Known
    action: str
    entries: tuple[faq.Entry, ...]
    problem: Phrase | None = None
    wrong_field: str = ""


@router.get("/assistants")
async def show_all(page: PageDep) -> Response:
    return page.render(LIST, AssistantsView(await listed(page)))


@router.get("/assistants/new")
async def blank(page: PageDep, like: str = "") -> Response:
    """An empty form, or one that begins as a copy of `like`."""
    start = BLANK
    if like:
        model = await found(page, like)
        name = page.gettext("%(name)s (copy)") % {"name": model.name}
        start = replace(model, id="", name=name, for_everyone=False, mine=True, origins=())
    return _edit(page, start, "/assistants")


@router.post("/assistants")
async def create(page: PageDep) -> Response:
    typed = replace(await read_form(page), for_everyone=False)
    fields = _checked(page, typed)
    if isinstance(fields, Response):
        return fields
    made = await page.parts.assistants.create(page.caller.name, fields)
    return page.redirect(f"/assistants/{made.id}")


@router.get("/assistants/{assistant_id}")
async def edit(page: PageDep, assistant_id: str) -> Response:
    known = await found(page, assistant_id)
    if not known.mine:
        return page.redirect("/assistants")
    return _edit(page, known, f"/assistants/{known.id}")


@router.post("/assistants/{assistant_id}")
async def change(page: PageDep, assistant_id: str) -> Response:
    typed = replace(await read_form(page), id=assistant_id)
    fields = _checked(page, typed)
    if isinstance(fields, Response):
        return fields
    await page.parts.assistants.change(assistant_id, page.caller.name, fields)
    return page.redirect(f"/assistants/{assistant_id}")


@router.post("/assistants/{assistant_id}/delete")
async def delete(page: PageDep, assistant_id: str) -> Response:
    await page.parts.assistants.delete(assistant_id, page.caller.name)
    return page.redirect("/assistants")


def _checked(page: Page, typed: Known) -> AssistantFields | Response:
    """What was typed, or the form again with what is wrong."""
    try:
        return fields_of(page, typed)
    except InvalidRequest as error:
        action = f"/assistants/{typed.id}" if typed.id else "/assistants"
        return _edit(page, typed, action, error)


def _edit(
    page: Page, assistant: Known, action: str, error: InvalidRequest | None = None
) -> Response:
    view = EditView(
        assistant=assistant,
        action=action,
        entries=faq.parse(assistant.faq) if assistant.kind == "service" else (),
        problem=error.phrase if error else None,
        wrong_field=(error.param or "") if error else "",
    )
    return page.render(EDIT, view, status=422 if error else 200)
