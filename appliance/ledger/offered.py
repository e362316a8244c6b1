"""Values that the filters of the history can offer, found without reading every row."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select
from sqlmodel import Session, col

from appliance.ledger.tables import GenerationStored, RequestRecord

MOST_VALUES = 50


def offered(session: Session) -> dict[str, list[str]]:
    """Keys, models, routes and addresses that there are, the first few of each."""
    columns = {
        "key": col(RequestRecord.key_name),
        "model": col(GenerationStored.model),
        "route": col(RequestRecord.path),
        "ip": col(RequestRecord.client_ip),
    }
    return {name: _distinct(session, column) for name, column in columns.items()}


def _distinct(session: Session, column: Any) -> list[str]:
    """The first values of an indexed column, by leaping from one to the next."""
    found: list[str] = []
    value: str | None = ""
    while value is not None and len(found) < MOST_VALUES:
        query: Any = Select(column).where(column > value)
        value = session.scalar(query.order_by(column).limit(1))
        if value:
            found.append(value)
    return found
