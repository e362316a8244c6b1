"""Values that the filters of the history can offer, found without reading every row."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import Select, func, select
from sqlmodel import Session, col

from appliance.ledger.tables import GenerationStored, RequestRecord

MOST_VALUES = 50


_COLUMNS: dict[str, Any] = {
    "key": col(RequestRecord.key_name),
    "model": col(GenerationStored.model),
    "route": col(RequestRecord.path),
    "ip": col(RequestRecord.client_ip),
}


def offered(session: Session) -> dict[str, list[str]]:
    """Keys, models, routes and addresses that there are, the first few of each."""
    return {
        name: [value for value in session.execute(_distinct(name)).scalars() if value]
        for name in _COLUMNS
    }


@cache
def _distinct(name: str) -> Any:
    """The first values of an indexed column, by leaping from one to the next. Putting such a query
    together takes longer than answering it."""
    column = _COLUMNS[name]
    leap = select(func.min(column).label("value")).cte("leap", recursive=True)
    further: Any = select(func.min(column)).where(column > leap.c.value).scalar_subquery()
    leap = leap.union_all(select(further).where(leap.c.value.is_not(None)))
    return Select(leap.c.value).limit(MOST_VALUES)
