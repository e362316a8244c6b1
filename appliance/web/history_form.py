"""The filters of the history as they stand in its address, and the selection they mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Self
from urllib.parse import urlencode

from appliance.errors import InvalidRequest
from appliance.ledger.filters import Selection, Thumb

SPANS = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "month": timedelta(days=30),
}
THUMBS: dict[str, Thumb] = {"up": "up", "down": "down", "any": "any"}
LONGEST_WORDS = 200
_STATUS = re.compile(r"[1-5](\d\d|xx)?")


@dataclass(frozen=True, slots=True)
class HistoryForm:
    """What has been typed, field by field; an empty text does not narrow.

    `last` is one of SPANS; `since` and `until` are moments of the machine's own time zone, as a
    browser writes them; `status` is `200` or `4xx`; `slow` and `failed` are on when not empty.
    """

    show: str = "answers"
    q: str = ""
    last: str = ""
    since: str = ""
    until: str = ""
    key: str = ""
    ip: str = ""
    route: str = ""
    dialect: str = ""
    model: str = ""
    status: str = ""
    feedback: str = ""
    slow: str = ""
    failed: str = ""

    @classmethod
    def read(cls, asked: Mapping[str, str]) -> Self:
        """From the parameters of an address; those of other meanings are left alone."""
        names = {field.name for field in fields(cls)}
        form = cls(**{name: value.strip() for name, value in asked.items() if name in names})
        _check(form)
        return form

    @property
    def query(self) -> str:
        """The part of the address behind `?` that brings this form back."""
        given = {name: value for name, value in asdict(self).items() if value}
        return urlencode(given)

    @property
    def narrowed(self) -> int:
        """How many fields narrow, apart from the words and what is shown."""
        beside = ("show", "q")
        return sum(bool(value) for name, value in asdict(self).items() if name not in beside)

    def selection(self, owner: str | None) -> Selection:
        """What is meant. Raises InvalidRequest for a moment that cannot be read."""
        since = _moment(self.since, "since")
        if self.last:
            since = datetime.now(UTC) - SPANS[self.last]
        return Selection(
            owner=owner,
            since=since,
            until=_moment(self.until, "until"),
            key=self.key or None,
            ip=self.ip or None,
            route=self.route or None,
            dialect=self.dialect or None,
            model=self.model or None,
            status=int(self.status.rstrip("x")) if self.status else None,
            slow=bool(self.slow),
            failed=bool(self.failed),
            feedback=THUMBS.get(self.feedback),
            answers=self.show != "all",
            words=self.q or None,
        )


def _check(form: HistoryForm) -> None:
    allowed = {"show": ("answers", "all"), "last": ("", *SPANS), "feedback": ("", *THUMBS)}
    for name, values in allowed.items():
        if getattr(form, name) not in values:
            raise InvalidRequest(
                "%(field)s must be one of: %(values)s.",
                param=name, field=name, values=", ".join(filter(None, values)),
            )  # fmt: skip
    if form.status and not _STATUS.fullmatch(form.status):
        raise InvalidRequest(
            "A status is a number such as 404, or 4xx for all from 400 to 499.", param="status"
        )
    if len(form.q) > LONGEST_WORDS:
        raise InvalidRequest(
            "Search for at most %(most)s characters.", param="q", most=LONGEST_WORDS
        )


def _moment(text: str, name: str) -> datetime | None:
    """A moment without a zone is meant in the machine's own, as all moments on the pages are."""
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError, OSError):
        raise InvalidRequest(
            "%(field)s must be a moment such as 2026-08-01T09:30.", param=name, field=name
        ) from None
