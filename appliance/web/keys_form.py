"""The form of a key on the keys page: words typed into the fields of `ledger.key_rules`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from appliance.domain import Phrase
from appliance.errors import InvalidRequest
from appliance.ledger.key_rules import COUNTS, SCOPES, KeyFields
from appliance.ledger.tables_keys import ApiKey

EXPIRY_DAYS = (1, 7, 30, 90, 365)
KEEP_EXPIRY = "keep"


@dataclass(frozen=True, slots=True)
class KeyForm:
    """What has been typed, kept when the form comes back with a problem at `wrong_field`."""

    name: str = ""
    expires: str = "90"
    rate: str = ""
    tokens_per_minute: str = ""
    tokens_per_day: str = ""
    parallel: str = ""
    max_tokens: str = ""
    models: str = ""
    assistants: str = ""
    log_content: str = ""
    chat: bool = True
    history: bool = False
    admin: bool = False
    wrong_field: str | None = None
    problem: Phrase | None = None

    @property
    def is_plain(self) -> bool:
        """Whether nothing is said but name, expiry and rate."""
        other = (getattr(self, name) for name in (*COUNTS, "models", "assistants", "log_content"))
        return self.chat and not any((self.history, self.admin, *other))


def typed(form: Mapping[str, Any]) -> KeyForm:
    """The form as it came. Boxes that are not ticked are not sent at all."""
    words: dict[str, Any] = {
        f.name: str(form.get(f.name, "")) for f in fields(KeyForm) if f.type == "str"
    }
    # A program that sends only a name wants what the page would have chosen.
    boxes: dict[str, Any] = {scope: bool(form.get(scope)) for scope in SCOPES}
    if form.get("is_admin"):
        boxes["admin"] = True
    if not any(boxes.values()) and not form.get("scopes_shown"):
        boxes["chat"] = True
    return KeyForm(**words, **boxes)


def read_new_key(form: Mapping[str, Any]) -> tuple[str, KeyFields]:
    """Name and rules of a key to be made. Raises InvalidRequest for what cannot be read."""
    said = typed(form)
    return said.name.strip(), read_fields(said)


def read_fields(form: KeyForm) -> KeyFields:
    """Everything but the name; what is empty has no limit. Raises InvalidRequest."""
    rules = KeyFields(
        scopes=[scope for scope in SCOPES if getattr(form, scope)],
        models=_names(form.models),
        assistants=_names(form.assistants),
        rate=form.rate.strip() or None,
        tokens_per_minute=_count("tokens_per_minute", form.tokens_per_minute),
        tokens_per_day=_count("tokens_per_day", form.tokens_per_day),
        parallel=_count("parallel", form.parallel),
        max_tokens=_count("max_tokens", form.max_tokens),
        log_content=form.log_content or None,
    )
    if form.expires != KEEP_EXPIRY:
        rules["expires_at"] = _expiry(form.expires)
    return rules


def filled(key: ApiKey) -> KeyForm:
    """The form that would make this key."""
    said: dict[str, Any] = {
        name: _written(getattr(key, name)) for name in (*COUNTS, "rate", "log_content")
    }
    said |= {name: ", ".join(getattr(key, name) or ()) for name in ("models", "assistants")}
    said |= {scope: scope in key.scopes for scope in SCOPES}
    return KeyForm(name=key.name, expires=KEEP_EXPIRY, **said)


def _written(value: object) -> str:
    return "" if value is None else str(value)


def _names(text: str) -> list[str] | None:
    names = [part.strip() for part in text.replace("\n", ",").split(",") if part.strip()]
    return names or None


def _count(name: str, text: str) -> int | None:
    if not (digits := text.strip()):
        return None
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 12):
        raise InvalidRequest("Write a whole number, or leave it empty for no limit.", param=name)
    return int(digits)


def _expiry(days: str) -> datetime | None:
    """When a key that lives so many days ends; an empty choice never does."""
    if not days:
        return None
    if not days.isdecimal() or int(days) not in EXPIRY_DAYS:
        raise InvalidRequest("Choose one of the offered times.", param="expires_at")
    return datetime.now(UTC) + timedelta(days=int(days))
