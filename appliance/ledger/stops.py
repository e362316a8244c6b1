"""Answers that are to be stopped, and are written by another appliance on the same ledger.

A browser's "Stop" may reach one that does not write the answer: it leaves a note here, and whoever
writes it looks.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from functools import partial

from sqlalchemy import delete, func, insert
from sqlmodel import Session, col, select

from appliance.ledger.database import Database, changed_rows
from appliance.ledger.tables_fronts import StopWish
from appliance.ledger.writer import Writer

# Whoever writes an answer looks several times a second; a note that is older is for nobody.
KEPT_SECONDS = 600


class Stops:
    """Notes for all appliances of one ledger on a server."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer

    async def wish(self, run_id: str, owner: str) -> None:
        """Whoever writes the answer `run_id` of `owner` shall stop."""
        await self._writer.execute(partial(_note, run_id=run_id, owner=owner))

    async def wished(self, run_ids: Collection[str]) -> set[tuple[str, str]]:
        """Those of them that are to be stopped, each with the owner who says so."""
        query = select(StopWish).where(col(StopWish.run_id).in_(run_ids))
        found = await self._database.read(lambda session: [*session.exec(query)])
        return {(one.run_id, one.owner) for one in found}


def _note(session: Session, run_id: str, owner: str) -> None:
    old = func.now() - timedelta(seconds=KEPT_SECONDS)
    changed_rows(session, delete(StopWish).where(col(StopWish.wished_at) <= old))
    note = {"run_id": run_id, "owner": owner}
    known = select(StopWish).where(StopWish.run_id == run_id, StopWish.owner == owner)
    if session.exec(known).first() is None:
        session.connection().execute(insert(StopWish).values(**note, wished_at=func.now()))
