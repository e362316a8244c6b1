"""Column types that keep the database readable, and safe from what people and models send."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_ESCAPED_NUL = re.compile(r"((?<!\\)(?:\\\\)*)\\u0000")


def storable(text: str) -> str:
    """`text` without what no database stores: NUL and halves of surrogate pairs.

    JSON may carry both, so a client can send them; they become U+FFFD.
    """
    if "\0" in text:
        text = text.replace("\0", _REPLACEMENT)
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join(_REPLACEMENT if "\ud800" <= c <= "\udfff" else c for c in text)
    return text


def readable_json(value: object) -> str:
    """JSON as a person reads it: `"你好"` and not `"\\u4f60\\u597d"`."""
    written = json.dumps(value, ensure_ascii=False)
    if r"\u0000" in written:
        written = _ESCAPED_NUL.sub(rf"\1{_REPLACEMENT}", written)
    return storable(written)


class PlainText(TypeDecorator[str]):
    """TEXT that takes any Python string."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else storable(value)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment. Aware in Python; stored as UTC, in SQLite as `2026-08-01 09:30:00.000000`.

    Raises ValueError for a naive datetime: nobody knows which moment that is.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; give an aware datetime")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
