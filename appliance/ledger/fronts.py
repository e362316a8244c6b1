"""Which appliances serve from one ledger on a server: each says so again and again.

What one of them has left open, another closes once it has been silent for too long. A lone
appliance on SQLite needs none of this: whatever it finds open at its start is its own.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from functools import partial

from sqlalchemy import ColumnElement, delete, func, insert, or_, true
from sqlmodel import Session, col, select, update
from sqlmodel.sql.expression import SelectOfScalar

from appliance.ledger.database import changed_rows
from appliance.ledger.interruption import interrupt
from appliance.ledger.tables import RequestRecord
from appliance.ledger.tables_fronts import Front
from appliance.ledger.writer import Writer

SAY_SO_EVERY_SECONDS = 10.0
# Longer than a server may be restarted without anybody having died.
SILENCE_SECONDS = 90.0

# By the server's clock: those of the others may go wrong.
_NOW = func.now()
_LIVING = select(Front.name).where(col(Front.seen_at) > _NOW - timedelta(seconds=SILENCE_SECONDS))
_FORGET_SILENT = delete(Front).where(
    col(Front.seen_at) <= _NOW - timedelta(seconds=SILENCE_SECONDS)
)
logger = logging.getLogger(__name__)


def begin(session: Session, name: str | None) -> int:
    """To be run before the appliance `name` serves: closes what nobody will close any more.

    That is also what bears its own name, which comes from a life before this one. Returns how many
    requests that were.
    """
    if session.get_bind().dialect.name == "sqlite":
        return interrupt(session, true())
    if name is None:
        return interrupt(session, _not_among(_LIVING))
    closed = interrupt(session, _not_among(_LIVING.where(col(Front.name) != name)))
    _say_so(session, name)
    return closed


class Fronts:
    """Speaks for the appliance `name`, by which the recorder marks its rows."""

    def __init__(self, writer: Writer, name: str) -> None:
        self._writer = writer
        self._name = name

    async def run(self) -> None:
        """Look after it every few seconds, until cancelled."""
        while True:
            try:
                await self.look()
            except Exception:  # the ledger itself complains of what it cannot write
                logger.debug("The other fronts could not be told of this one", exc_info=True)
            await asyncio.sleep(SAY_SO_EVERY_SECONDS)

    async def look(self) -> int:
        """Say that this one lives, and close what the dead left open: how many requests."""
        return await self._writer.execute(partial(_look, name=self._name))


def _look(session: Session, name: str) -> int:
    _say_so(session, name)
    if changed_rows(session, _FORGET_SILENT) == 0:
        return 0
    return interrupt(session, _not_among(_LIVING))


def _say_so(session: Session, name: str) -> None:
    seen = update(Front).where(col(Front.name) == name).values(seen_at=_NOW)
    if changed_rows(session, seen) == 0:
        session.connection().execute(insert(Front).values(name=name, seen_at=_NOW))


def _not_among(living: SelectOfScalar[str]) -> ColumnElement[bool]:
    """Rows of `request` that bear none of these names."""
    front = col(RequestRecord.front)
    return or_(front.is_(None), front.not_in(living))
