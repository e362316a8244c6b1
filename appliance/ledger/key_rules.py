"""What a key may be called and what rate it may be given."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime

from appliance.errors import InvalidRequest
from appliance.ledger.tables import OWNER

MAX_NAME_LENGTH = 64
_MARKS = "._- "


def checked_name(name: str) -> str:
    """`name` as it is stored: without surrounding spaces, in Unicode's composed form.

    Letters, their marks and digits of any script are allowed. Raises InvalidRequest.
    """
    name = unicodedata.normalize("NFC", name.strip())
    if not 1 <= len(name) <= MAX_NAME_LENGTH or not all(map(_allowed, name)) or "  " in name:
        raise InvalidRequest(
            "A key's name has 1 to %(longest)s characters: letters of any script, digits, "
            "“.”, “_”, “-” and single spaces.",
            param="name",
            longest=MAX_NAME_LENGTH,
        )
    if name.casefold() == OWNER:
        raise InvalidRequest(
            "The name “%(name)s” is reserved for whoever sits at this machine. Choose another.",
            param="name",
            name=name,
        )
    return name


def _allowed(character: str) -> bool:
    category = unicodedata.category(character)
    return character in _MARKS or category[0] in "LM" or category == "Nd"


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
