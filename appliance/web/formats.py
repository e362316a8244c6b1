"""Numbers, dates and durations as the reader's language writes them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any

from babel.dates import format_datetime, format_timedelta
from babel.numbers import format_decimal, format_percent

from appliance.domain import Phrase
from appliance.web.i18n import locale, translate

Filter = Callable[..., str]
_BYTE_UNITS = ("B", "KB", "MB", "GB", "TB")


@cache
def filters(language: str) -> dict[str, Filter]:
    """Template filters for one language."""
    how = locale(language)

    def moment(value: datetime, style: str = "medium") -> str:
        # The appliance and its owner share a clock, so the machine's own time zone is shown.
        said = str(format_datetime(value.astimezone(), style, locale=how))
        # Without the narrow space before "PM", as browsers write it: a script writes each time once
        # more, by the reader's own clock, and nothing is to move for that.
        return said.replace("\u202f", " ")

    def ago(value: datetime) -> str:
        return format_timedelta(value - datetime.now(UTC), add_direction=True, locale=how)

    def number(value: float) -> str:
        return format_decimal(value, format="#,##0", locale=how)

    def decimal(value: float, digits: int = 1) -> str:
        return format_decimal(value, format="#,##0." + "0" * digits, locale=how)

    def ms(value: float | None) -> str:
        return _milliseconds(value, decimal, number)

    def percent(value: float) -> str:
        return format_percent(value, locale=how)

    def size(value: float) -> str:
        return _size(value, decimal)

    def phrase(value: Phrase) -> str:
        return translate(value, language)

    return {
        "datetime": moment,
        "ago": ago,
        "number": number,
        "decimal": decimal,
        "ms": ms,
        "percent": percent,
        "bytes": size,
        "phrase": phrase,
    }


def _milliseconds(value: float | None, decimal: Filter, number: Filter) -> str:
    """`850 ms`, `3.2 s`, `2 min 05 s`; an em dash when it was never measured."""
    if value is None:
        return "—"
    if value < 1000:
        return f"{number(value)} ms"
    if value < 60_000:
        return f"{decimal(value / 1000)} s"
    minutes, seconds = divmod(round(value / 1000), 60)
    return f"{number(minutes)} min {seconds:02d} s"


def _size(value: float, decimal: Filter) -> str:
    """Decimal units, as disks and networks are sold."""
    amount: Any = float(value)
    for unit in _BYTE_UNITS[:-1]:
        if amount < 1000:
            return f"{decimal(amount, 0 if unit == 'B' else 1)} {unit}".replace(". ", " ")
        amount /= 1000
    return f"{decimal(amount, 1)} {_BYTE_UNITS[-1]}"
