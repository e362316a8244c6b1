"""Forgetting: rows older than the owner wants to keep are deleted, a few at a time."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta

from sqlmodel import Session, col, delete, select

from appliance.ledger.database import changed_rows
from appliance.ledger.tables import RequestRecord
from appliance.ledger.writer import Writer

SWEEP_EVERY_SECONDS = 3600.0
# Small enough that a sweep through years of rows never keeps a live request's row waiting.
ROWS_AT_ONCE = 500

logger = logging.getLogger(__name__)


async def forget_old_rows(writer: Writer, days: int) -> None:
    """Sweep now and every hour, until cancelled."""
    while True:
        try:
            await sweep(writer, datetime.now(UTC) - timedelta(days=days))
        except Exception:
            logger.exception("Old rows of the ledger could not be deleted")
        await asyncio.sleep(SWEEP_EVERY_SECONDS)


async def sweep(writer: Writer, before: datetime) -> int:
    """Delete requests that came before this moment, with their generations. How many went."""
    gone = 0
    while True:
        deleted = await writer.execute(lambda session: _delete_some(session, before))
        gone += deleted
        if deleted < ROWS_AT_ONCE:
            return gone


def _delete_some(session: Session, before: datetime) -> int:
    old = (
        select(RequestRecord.id)
        .where(col(RequestRecord.created_at) < before)
        .order_by(col(RequestRecord.created_at))
        .limit(ROWS_AT_ONCE)
    )
    return changed_rows(session, delete(RequestRecord).where(col(RequestRecord.id).in_(old)))
