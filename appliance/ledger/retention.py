"""Forgetting: what is older, or more, than the owner wants to keep, a few rows at a time.

Texts may go sooner than the metadata of the same request. Knows no settings, only limits.
"""

from __future__ import annotations

import asyncio
import logging
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy import or_
from sqlmodel import Session, col, func, select

from appliance.ledger.database import Database
from appliance.ledger.forget import forget_requests, forget_texts, scrub_file
from appliance.ledger.size import make_reusable, used_bytes
from appliance.ledger.tables import GenerationStored, RequestRecord
from appliance.ledger.turns import prune, unneeded_parts, unneeded_turns
from appliance.ledger.writer import Writer

SWEEP_EVERY_SECONDS = 3600.0
# Small enough that a sweep through years of rows never keeps a live request's row waiting.
ROWS_AT_ONCE = 500
SHARED_AT_ONCE = 5000
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Keep:
    """How long and how much. None: for ever, without limit. `bytes` is the database's size."""

    days: int | None = None
    content_days: int | None = None
    bytes: int | None = None


class Retention:
    """Sweeps `database` through `writer`."""

    def __init__(self, database: Database, writer: Writer, keep: Keep) -> None:
        self._database = database
        self._writer = writer
        self._keep = keep
        self._texts_gone_before = LONG_AGO

    async def run(self) -> None:
        """Sweep now and every hour, until cancelled."""
        while True:
            try:
                await self.sweep()
            except Exception:
                logger.exception("Old rows of the ledger could not be deleted")
            await asyncio.sleep(SWEEP_EVERY_SECONDS)

    async def sweep(self, now: datetime | None = None) -> int:
        """Whatever is due. How many requests have lost something, or are gone."""
        now, keep, changed = now or datetime.now(UTC), self._keep, 0
        if keep.days is not None:
            changed += await sweep(self._writer, now - timedelta(days=keep.days))
        if keep.content_days is not None:
            changed += await self._sweep_texts(now - timedelta(days=keep.content_days))
        if keep.bytes is not None:
            changed += await self._sweep_size(keep.bytes)
        pruned = await self._sweep_shared()
        if changed or pruned:
            await scrub_file(self._database, self._writer)
            if not self._database.is_sqlite:
                await asyncio.to_thread(make_reusable, self._database)
        return changed

    async def _sweep_texts(self, before: datetime) -> int:
        gone, since = 0, self._texts_gone_before
        while True:
            found = await self._database.read(partial(_with_texts, since=since, before=before))
            if not found:
                self._texts_gone_before = before
                return gone
            ids = [request_id for request_id, _ in found]
            await self._writer.execute(partial(forget_texts, request_ids=ids))
            gone, since = gone + len(ids), found[-1][1]

    async def _sweep_size(self, most: int) -> int:
        """The oldest requests go first."""
        gone = 0
        while (used := await self._database.read(used_bytes)) > most:
            rows = ROWS_AT_ONCE
            if not self._database.is_sqlite:
                # Measured once: a server is slow to tell, and learns of what is gone later.
                rows = await self._database.read(partial(_excess, share=1 - most / used))
            deleted = await self._delete_oldest(rows)
            gone += deleted
            if not deleted or not self._database.is_sqlite:
                break
        return gone

    async def _delete_oldest(self, rows: int) -> int:
        gone = 0
        while gone < rows:
            most = min(ROWS_AT_ONCE, rows - gone)
            deleted = await self._writer.execute(partial(_delete_some, before=None, most=most))
            if not deleted:
                break
            gone += deleted
        return gone

    async def _sweep_shared(self) -> int:
        """What was shared by requests that somebody else deleted, such as by hand."""
        gone = 0
        while found := await self._database.read(partial(_unneeded, limit=SHARED_AT_ONCE)):
            turns, parts = found
            pruned = await self._writer.execute(partial(prune, turn_ids=turns, part_ids=parts))
            if not pruned:
                break
            gone += pruned
        return gone


async def sweep(writer: Writer, before: datetime) -> int:
    """Delete requests that came before this moment, with their generations. How many went."""
    gone = 0
    while True:
        deleted = await writer.execute(partial(_delete_some, before=before))
        gone += deleted
        if deleted < ROWS_AT_ONCE:
            return gone


def _excess(session: Session, share: float) -> int:
    """So many requests make up this share of all."""
    return math.ceil(session.exec(select(func.count()).select_from(RequestRecord)).one() * share)


def _delete_some(session: Session, before: datetime | None, most: int = ROWS_AT_ONCE) -> int:
    old = select(RequestRecord.id).order_by(col(RequestRecord.created_at)).limit(most)
    if before is None:
        old = old.where(col(RequestRecord.status).is_not(None))
    else:
        old = old.where(col(RequestRecord.created_at) < before)
    return forget_requests(session, list(session.exec(old)))


def _with_texts(session: Session, since: datetime, before: datetime) -> list[tuple[str, datetime]]:
    columns = (
        GenerationStored.turn_id,
        GenerationStored.input,
        GenerationStored.output,
        GenerationStored.reasoning,
        GenerationStored.tool_calls,
        GenerationStored.tools_id,
        GenerationStored.form_id,
    )
    texts = select(GenerationStored.id).where(
        GenerationStored.request_id == RequestRecord.id,
        or_(*(col(column).is_not(None) for column in columns)),
    )
    query = (
        select(RequestRecord.id, RequestRecord.created_at)
        .where(RequestRecord.created_at >= since, RequestRecord.created_at < before)
        .where(texts.exists())
        .order_by(col(RequestRecord.created_at))
        .limit(ROWS_AT_ONCE)
    )
    return [(row[0], row[1]) for row in session.execute(query)]


def _unneeded(session: Session, limit: int) -> tuple[list[int], list[int]] | None:
    """Turns, and else parts, which turns keep. None when there is nothing."""
    if turns := unneeded_turns(session, limit):
        return turns, []
    parts = unneeded_parts(session, limit)
    return ([], parts) if parts else None
