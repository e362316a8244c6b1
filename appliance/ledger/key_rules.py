"""What a key may be called, be allowed and be limited to: one set of rules for the command line,
the page and the admin API."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, TypedDict

from appliance.errors import InvalidRequest
from appliance.ledger.look_alike import are_alike, mixes_scripts
from appliance.ledger.tables import OWNER

MAX_NAME_LENGTH = 64
MAX_LISTED = 100
MAX_COUNT = 2_000_000_000
Scope = Literal["chat", "admin", "history"]
SCOPES: tuple[Scope, ...] = ("chat", "history", "admin")
LOG_CONTENT = ("full", "metadata")
COUNTS = ("tokens_per_minute", "tokens_per_day", "parallel", "max_tokens")
_MARKS = "._- "
# Letters and marks by their category that show nothing (Unicode's Default_Ignorable_Code_Point).
UNSEEN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0"
                    "\U000e0100-\U000e01ef]")  # fmt: skip


class KeyFields(TypedDict, total=False):
    """Everything that can be said of a key besides its name; what is absent is left as it is.

    None takes a limit away. `is_admin` is short for the scope `admin` beside `chat`.
    """

    expires_at: datetime | None
    is_admin: bool
    scopes: Sequence[str]
    models: Sequence[str] | None
    assistants: Sequence[str] | None
    rate: str | None
    tokens_per_minute: int | None
    tokens_per_day: int | None
    parallel: int | None
    max_tokens: int | None
    log_content: str | None


def checked_fields(fields: KeyFields) -> dict[str, Any]:
    """The columns of what was said, checked. Raises InvalidRequest; its `param` names which."""
    given: dict[str, Any] = dict(fields)
    is_admin = given.pop("is_admin", False)
    if is_admin and "scopes" not in given:
        given["scopes"] = ("chat", "admin")
    return {name: _CHECKS[name](name, value) for name, value in given.items()}


def checked_name(name: str) -> str:
    """`name` as it is stored: without surrounding spaces, in Unicode's composed form.

    Letters, their marks and digits of any script are allowed, but nothing that cannot be seen, and
    no letters of two scripts that look alike. Raises InvalidRequest.
    """
    name = unicodedata.normalize("NFC", name.strip())
    if not 1 <= len(name) <= MAX_NAME_LENGTH or not all(map(_allowed, name)) or "  " in name:
        raise InvalidRequest(
            "A key's name has 1 to %(longest)s characters: letters of any script, digits, "
            "“.”, “_”, “-” and single spaces.",
            param="name",
            longest=MAX_NAME_LENGTH,
        )
    if not any(map(str.isalnum, name)) or mixes_scripts(name):
        raise InvalidRequest(
            "“%(name)s” could be taken for another name. Use at least one letter or digit, and "
            "letters of one script.",
            param="name",
            name=name,
        )
    if are_alike(name, OWNER):
        raise InvalidRequest(
            "The name “%(name)s” is reserved for whoever sits at this machine. Choose another.",
            param="name",
            name=name,
        )
    return name


def _allowed(character: str) -> bool:
    category = unicodedata.category(character)
    is_seen = not UNSEEN.match(character)
    return character in _MARKS or (is_seen and (category[0] in "LM" or category == "Nd"))


def taken(name: str) -> InvalidRequest:
    """The refusal of a second key with one name."""
    return InvalidRequest(
        "There is a key called “%(name)s” already; a revoked key keeps its name, so that its "
        "history stays its own. Choose another.",
        param="name",
        name=name,
    )


def checked_rate(rate: str | None) -> str | None:
    """`rate` when it is one limit that the rate limiter understands. Raises InvalidRequest."""
    if rate is None:
        return None
    from limits import parse_many  # slow to import, and seldom needed

    try:
        limits = parse_many(rate)
    except ValueError:
        limits = []
    if len(limits) != 1 or limits[0].amount < 1 or limits[0].multiples < 1:
        raise InvalidRequest(
            "“%(rate)s” is not a rate. Write a number and a span of time, like 60/minute, "
            "10/second or 5000/day.",
            param="rate",
            rate=rate,
        )
    return rate.strip()


def check_expiry(expires_at: datetime) -> None:
    """Raises InvalidRequest for a moment gone by, ValueError for a naive one."""
    if expires_at.tzinfo is None:
        raise ValueError("expires_at needs a time zone")
    if expires_at <= datetime.now(UTC):
        raise InvalidRequest(
            "The key would have expired on %(moment)s already. Give a later time.",
            param="expires_at",
            moment=expires_at.isoformat(timespec="seconds"),
        )


def _expiry(_: str, value: datetime | None) -> datetime | None:
    if value is not None:
        check_expiry(value)
    return value


def _count(name: str, value: int | None) -> int | None:
    if value is not None and not 1 <= value <= MAX_COUNT:
        raise InvalidRequest(
            "%(field)s was %(value)s. Give a whole number from 1, or leave it out for no limit.",
            param=name,
            field=name,
            value=value,
        )
    return value


def _scopes(name: str, value: Sequence[str]) -> list[str]:
    unknown = sorted(set(value) - set(SCOPES))
    if not value or unknown:
        raise InvalidRequest(
            "Choose what the key may do: one or more of %(allowed)s (this was %(value)s).",
            param=name,
            allowed=", ".join(SCOPES),
            value=", ".join(unknown) or "none",
        )
    return [scope for scope in SCOPES if scope in value]


def _names(name: str, value: Sequence[str] | None) -> list[str] | None:
    if value is None:
        return None
    names = list(dict.fromkeys(one.strip() for one in value))
    if not 1 <= len(names) <= MAX_LISTED or not all(n and n.isprintable() for n in names):
        raise InvalidRequest(
            "%(field)s: name 1 to %(most)s of them, or leave it out to allow all.",
            param=name,
            field=name,
            most=MAX_LISTED,
        )
    return names


def _log_content(name: str, value: str | None) -> str | None:
    if value not in (None, *LOG_CONTENT):
        raise InvalidRequest(
            "%(field)s was %(value)s. Write full or metadata, or leave it out to do as the "
            "appliance does.",
            param=name,
            field=name,
            value=value,
        )
    return value


_CHECKS: Mapping[str, Callable[[str, Any], Any]] = {
    "expires_at": _expiry,
    "scopes": _scopes,
    "models": _names,
    "assistants": _names,
    "rate": lambda _, value: checked_rate(value),
    **dict.fromkeys(COUNTS, _count),
    "log_content": _log_content,
}
