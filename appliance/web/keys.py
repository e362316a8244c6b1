"""Named keys for team-mates and programs: made, listed and revoked by the owner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Form, Response

from appliance.domain import Phrase
from appliance.errors import InvalidRequest, PermissionDenied
from appliance.ledger.tables_keys import ApiKey
from appliance.web.page import Page, PageDep, PageRoute

router = APIRouter(route_class=PageRoute)
FIELDS = {"expires_at": "expires", "rate": "rate"}
EXPIRY_DAYS = (1, 7, 30, 90, 365)


@dataclass(frozen=True, slots=True)
class KeyForm:
    """What has been typed, kept when the form comes back with a problem at `wrong_field`."""

    name: str = ""
    expires: str = "90"
    rate: str = ""
    is_admin: bool = False
    wrong_field: str | None = None
    problem: Phrase | None = None


@dataclass(frozen=True, slots=True)
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


@router.get("/keys")
async def list_keys(page: PageDep) -> Response:
    return await _show(page, KeyForm())


@router.post("/keys")
async def create_key(
    page: PageDep,
    name: Annotated[str, Form()] = "",
    expires: Annotated[str, Form()] = "",
    rate: Annotated[str, Form()] = "",
    is_admin: Annotated[bool, Form()] = False,
) -> Response:
    """Answers with the secret in the page itself: after a redirect it could not be shown."""
    _require_admin(page)
    try:
        key, secret = await page.parts.keys.create(
            name.strip(),
            expires_at=_expiry(expires),
            rate=rate.strip() or None,
            is_admin=is_admin,
        )
    except InvalidRequest as error:
        wrong = FIELDS.get(error.param or "", "name")
        form = KeyForm(name, expires, rate, is_admin, wrong, error.phrase)
        return await _show(page, form, status=422)
    return await _show(page, KeyForm(), created=key, secret=secret)


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
    facts = page.parts.engine.status.facts
    view = KeysView(
        keys=await page.parts.keys.list(),
        form=form,
        base_url=str(page.request.base_url).rstrip("/"),
        model=facts.model if facts else "default",
        created=created,
        secret=secret,
    )
    return page.render("keys.html", view, status=status)


def _require_admin(page: Page) -> None:
    if not page.caller.is_admin:
        raise PermissionDenied(
            "Only the owner and admin keys may manage keys. Ask the owner of this appliance."
        )


def _expiry(days: str) -> datetime | None:
    """When a key that lives so many days ends; an empty choice never does."""
    if not days:
        return None
    if not days.isdecimal() or int(days) not in EXPIRY_DAYS:
        raise InvalidRequest("Choose one of the offered times.", param="expires_at")
    return datetime.now(UTC) + timedelta(days=int(days))
