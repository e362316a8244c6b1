"""Values that the filters of the history can offer, found without reading every row."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, func, select
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
    leap = select(func.min(column).label("value")).cte("leap", recursive=True)
    further: Any = select(func.min(column)).where(column > leap.c.value).scalar_subquery()
    leap = leap.union_all(select(further).where(leap.c.value.is_not(None)))
    query: Any = Select(leap.c.value).limit(MOST_VALUES)
    return [value for value in session.execute(query).scalars() if value]
