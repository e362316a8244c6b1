"""The secrets that sign session cookies, in a ledger that several appliances share.

A browser that one of them has signed in is known to all, and signed out by all.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial

from sqlmodel import Session, col, delete, insert, select

from appliance.ledger.database import Database, changed_rows
from appliance.ledger.tables_fronts import SessionSecret
from appliance.ledger.writer import Writer
from appliance.signing import BELIEVED_FOR, Secret, believed, is_due, new_secret

READ_EVERY_SECONDS = 2.0

logger = logging.getLogger(__name__)


class SharedSecrets:
    """`Signing` in a ledger on a server. Somebody must `run` it."""

    def __init__(
        self, database: Database, writer: Writer, now: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._writer = writer
        self._now = now
        self._known: list[Secret] = []

    def __call__(self) -> Sequence[str]:
        if not self._known:  # the first who asks waits for them
            self._known = self._change(_renew)
        return [one.text for one in believed(self._known, int(self._now()))]

    def replace(self) -> None:
        self._known = self._change(_replace)

    async def run(self) -> None:
        """Read again and again what the others have changed, until cancelled."""
        while True:
            await asyncio.sleep(READ_EVERY_SECONDS)
            try:
                await self.look()
            except Exception:  # those that are known are believed on
                logger.debug("The secrets of sessions could not be read", exc_info=True)

    async def look(self) -> None:
        """Once; and make a new one where it is time."""
        now = int(self._now())
        known = await self._database.read(_read)
        if is_due(known, now):
            known = await self._writer.execute(partial(_renew, now=now))
        self._known = known

    def _change(self, change: Callable[..., list[Secret]]) -> list[Secret]:
        return self._writer.schedule(partial(change, now=int(self._now()))).result()


def _read(session: Session) -> list[Secret]:
    rows = session.exec(select(SessionSecret).order_by(col(SessionSecret.made_at)))
    return [Secret(int(row.made_at.timestamp()), row.text) for row in rows]


def _renew(session: Session, now: int) -> list[Secret]:
    """Another may have been quicker, but there is one writer at a time."""
    if is_due(_read(session), now):
        _add(session, new_secret(now))
    too_old = col(SessionSecret.made_at) <= datetime.fromtimestamp(now - BELIEVED_FOR, UTC)
    changed_rows(session, delete(SessionSecret).where(too_old))
    return _read(session)


def _replace(session: Session, now: int) -> list[Secret]:
    changed_rows(session, delete(SessionSecret))
    _add(session, new_secret(now))
    return _read(session)


def _add(session: Session, one: Secret) -> None:
    made_at = datetime.fromtimestamp(one.made_at, UTC)
    session.connection().execute(insert(SessionSecret).values(text=one.text, made_at=made_at))
