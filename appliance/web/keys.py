"""Named keys for team-mates and programs: made, listed, changed, renewed and revoked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Form, Query, Response

from appliance.errors import InvalidRequest, PermissionDenied
from appliance.ledger.key_usage import DayOfUse
from appliance.ledger.tables_keys import ApiKey
from appliance.web.keys_form import EXPIRY_DAYS, KeyForm, filled, read_fields, read_new_key, typed
from appliance.web.page import Page, PageDep
from appliance.web.page_route import PageRoute
from appliance.web.plots import Plot, bar_plot

router = APIRouter(route_class=PageRoute)
FIELDS = {"expires_at": "expires"}
GRACE_HOURS = (0, 1, 24, 168)
USAGE_DAYS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysView:
    """`secret` is there once, right after `created` was made; `base_url` and `model`
    are for the examples."""

    keys: Sequence[ApiKey]
    form: KeyForm
    base_url: str
    model: str
    expiry_days: Sequence[int] = EXPIRY_DAYS
    created: ApiKey | None = None
    secret: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyView:
    """One key: its rules, its use day by day; `secret` once, right after it was renewed."""

    key: ApiKey
    form: KeyForm
    days: Sequence[DayOfUse]
    requests: Plot
    tokens: Plot
    base_url: str
    model: str
    expiry_days: Sequence[int] = EXPIRY_DAYS
    grace_hours: Sequence[int] = GRACE_HOURS
    secret: str | None = None


@router.get("/keys")
async def list_keys(page: PageDep) -> Response:
    return await _show(page, KeyForm())


@router.post("/keys")
async def create_key(page: PageDep) -> Response:
    """Answers with the secret in the page itself: after a redirect it could not be shown."""
    _require_admin(page)
    sent = await page.request.form()
    try:
        name, rules = read_new_key(sent)
        key, secret = await page.parts.keys.create(name, **rules)
    except InvalidRequest as error:
        return await _show(page, _with_problem(typed(sent), error), status=422)
    return await _show(page, KeyForm(), created=key, secret=secret)


@router.get("/keys/of")
async def show_key(page: PageDep, name: Annotated[str, Query()]) -> Response:
    """The name stands in the query: a path cannot hold every name that a key may have."""
    _require_admin(page)
    key = await page.parts.keys.named(name)
    return await _show_one(page, key, filled(key))


@router.post("/keys/change")
async def change_key(page: PageDep) -> Response:
    _require_admin(page)
    sent = await page.request.form()
    form = typed(sent)
    key = await page.parts.keys.named(form.name)
    try:
        key = await page.parts.keys.change(key.name, **read_fields(form))
    except InvalidRequest as error:
        return await _show_one(page, key, _with_problem(form, error), status=422)
    return page.redirect(f"/keys/of?name={quote(key.name)}")


@router.post("/keys/rotate")
async def rotate_key(
    page: PageDep, name: Annotated[str, Form()], grace: Annotated[int, Form()] = 0
) -> Response:
    _require_admin(page)
    if grace not in GRACE_HOURS:
        raise InvalidRequest("Choose one of the offered times.", param="grace")
    key, secret = await page.parts.keys.rotate(name, timedelta(hours=grace))
    return await _show_one(page, key, filled(key), secret=secret)


@router.post("/keys/revoke")
async def revoke_key(page: PageDep, name: Annotated[str, Form()]) -> Response:
    _require_admin(page)
    await page.parts.keys.revoke(name)
    return page.redirect("/keys")


async def _show(
    page: Page,
    form: KeyForm,
    *,
    created: ApiKey | None = None,
    secret: str | None = None,
    status: int = 200,
) -> Response:
    _require_admin(page)
    view = KeysView(
        keys=await page.parts.keys.list(),
        form=form,
        base_url=_base_url(page),
        model=_model(page),
        created=created,
        secret=secret,
    )
    return page.render("keys.html", view, status=status)


async def _show_one(
    page: Page, key: ApiKey, form: KeyForm, *, secret: str | None = None, status: int = 200
) -> Response:
    days = await page.parts.keys.usage.days(key.name, USAGE_DAYS)
    view = KeyView(
        key=key,
        form=form,
        days=days,
        requests=bar_plot([day.requests for day in days]),
        tokens=bar_plot([day.tokens for day in days]),
        base_url=_base_url(page),
        model=_model(page),
        secret=secret,
    )
    return page.render("key.html", view, status=status)


def _with_problem(form: KeyForm, error: InvalidRequest) -> KeyForm:
    field = FIELDS.get(error.param or "", error.param or "name")
    return replace(form, wrong_field=field, problem=error.phrase)


def _base_url(page: Page) -> str:
    return str(page.request.base_url).rstrip("/")


def _model(page: Page) -> str:
    facts = page.parts.engine.status.facts
    return facts.model if facts else "default"


def _require_admin(page: Page) -> None:
    if not page.caller.is_admin:
        raise PermissionDenied(
            "Only the owner and admin keys may manage keys. Ask the owner of this appliance."
        )
