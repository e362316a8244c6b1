"""Kept texts and programs: save one by hand, open a version, restore it, delete them all."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Query, Response

from appliance.errors import InvalidRequest
from appliance.web.assistant_view import TEMPLATE, assistant_of, draft_view, refuse
from appliance.web.files import download
from appliance.web.languages import CODE_LANGUAGES, guess_language
from appliance.web.order_form import OrderForm
from appliance.web.outcome import filename
from appliance.web.page import ASKING, PageDep
from appliance.web.page_route import PageRoute
from appliance.web.passage import normal
from appliance.web.tasks import check_length

router = APIRouter(route_class=PageRoute, dependencies=ASKING)
Text = Annotated[str, Form()]


@router.get("/write/drafts")
@router.get("/code/drafts")
async def nothing(page: PageDep) -> Response:
    """Who reloads the answer to a form that was refused begins anew."""
    return page.redirect(f"/{assistant_of(page).id}")


@router.post("/write/drafts")
@router.post("/code/drafts")
async def save(page: PageDep, text: Text = "", draft: Text = "", language: Text = "") -> Response:
    """Keeps what stands in the editor as a version of its own."""
    text, kind = normal(text), assistant_of(page).id
    try:
        if not text.strip():
            raise InvalidRequest("There is nothing to keep yet. Put it in here.", param="text")
        check_length(text)
    except InvalidRequest as error:
        form = OrderForm(text=text, draft=draft, language=language)
        return await refuse(page, form.refused(error))
    known = language if language in CODE_LANGUAGES else ""
    saved = await page.parts.drafts.save(
        page.caller.name, kind, text, draft_id=draft, language=known
    )
    return page.redirect(f"/{kind}/drafts/{saved.draft_id}")


@router.get("/write/drafts/{draft_id}")
@router.get("/code/drafts/{draft_id}")
async def opened(page: PageDep, draft_id: str, version: Annotated[str, Query()] = "") -> Response:
    kind = assistant_of(page).id
    detail = await page.parts.drafts.get(page.caller.name, kind, draft_id, version)
    return page.render(TEMPLATE, await draft_view(page, detail))


@router.post("/write/drafts/{draft_id}/restore")
@router.post("/code/drafts/{draft_id}/restore")
async def restore(page: PageDep, draft_id: str, version: Text) -> Response:
    """Makes an old version the newest one again. What stood in between stays kept."""
    kind, owner = assistant_of(page).id, page.caller.name
    old = (await page.parts.drafts.get(owner, kind, draft_id, version)).open
    await page.parts.drafts.save(
        owner, kind, old.text, draft_id=draft_id, task="restore", language=old.language
    )
    return page.redirect(f"/{kind}/drafts/{draft_id}")


@router.post("/write/drafts/{draft_id}/delete")
@router.post("/code/drafts/{draft_id}/delete")
async def delete(page: PageDep, draft_id: str) -> Response:
    kind = assistant_of(page).id
    await page.parts.drafts.delete(page.caller.name, kind, draft_id)
    return page.redirect(f"/{kind}")


@router.get("/write/drafts/{draft_id}/download")
@router.get("/code/drafts/{draft_id}/download")
async def file(page: PageDep, draft_id: str, version: Annotated[str, Query()] = "") -> Response:
    """The version as a file, named as its language wants it."""
    kind = assistant_of(page).id
    found = (await page.parts.drafts.get(page.caller.name, kind, draft_id, version)).open
    language = found.language
    if kind == "code" and not language and (guess := guess_language(found.text)):
        language = guess.language
    return download(filename(found.text, language), found.text)
