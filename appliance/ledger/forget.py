"""Deletion that deletes: rows, the messages behind them, their words in the index, their bytes.

Whoever removes requests does it here, because a row is not all that there is of it.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from functools import partial

from sqlalchemy import null
from sqlmodel import Session, col, delete, select, update

from appliance.ledger.database import Database, changed_rows
from appliance.ledger.search_index import SECURE_DELETE_SINCE
from appliance.ledger.tables import GenerationStored, RequestRecord
from appliance.ledger.tables_feedback import Searched
from appliance.ledger.turns import prune
from appliance.ledger.writer import Writer

METADATA = "metadata"
# Small enough that a live request's row never waits long behind a piece of it.
MERGED_PAGES = 500
FREED_PAGES = 2000
CHECKPOINT_TRIES = 40
CHECKPOINT_PAUSE_SECONDS = 0.25


def forget_requests(session: Session, request_ids: Sequence[str]) -> int:
    """Deletes these requests with all that belongs to them. How many there were."""
    turns, parts = _shared_by(session, request_ids)
    gone = changed_rows(
        session, delete(RequestRecord).where(col(RequestRecord.id).in_(request_ids))
    )
    prune(session, turns, parts)
    return gone


def forget_texts(session: Session, request_ids: Sequence[str]) -> None:
    """Deletes what was asked and answered in these requests, and leaves their metadata."""
    turns, parts = _shared_by(session, request_ids)
    texts = ("input", "output", "reasoning", "tool_calls", "turn_id", "tools_id", "form_id")
    ours = col(GenerationStored.request_id).in_(request_ids)
    nothing = dict.fromkeys(texts, null())
    changed_rows(session, update(GenerationStored).where(ours).values(nothing))
    changed_rows(session, delete(Searched).where(col(Searched.request_id).in_(request_ids)))
    noted = update(RequestRecord).where(col(RequestRecord.id).in_(request_ids))
    changed_rows(session, noted.values(log_content=METADATA))
    prune(session, turns, parts)


def _shared_by(session: Session, request_ids: Sequence[str]) -> tuple[set[int], set[int]]:
    """The last turns of these requests, and the parts that hold their tools and forms."""
    row = GenerationStored
    ours = col(row.request_id).in_(request_ids)
    found = session.exec(select(row.turn_id, row.tools_id, row.form_id).where(ours)).all()
    turns = {turn_id for turn_id, *_ in found if turn_id is not None}
    return turns, {part_id for _, *own in found for part_id in own if part_id is not None}


async def scrub_file(database: Database, writer: Writer) -> None:
    """After a deletion: nothing of it stays in the index, in free pages or in the WAL.

    Freed pages are zeroed as they are freed (`secure_delete`); a file that can shrink does.
    A server's own files are its own affair (VACUUM).
    """
    if not database.is_sqlite:
        return
    if sqlite3.sqlite_version_info < SECURE_DELETE_SINCE:
        await _merge_index(writer)
    while await writer.execute(_free_pages):
        pass
    for _ in range(CHECKPOINT_TRIES):
        if await asyncio.to_thread(database.empty_wal):
            return
        await asyncio.sleep(CHECKPOINT_PAUSE_SECONDS)


async def _merge_index(writer: Writer) -> None:
    """Into one piece, step by step: what has been deleted is in the older pieces until then."""
    pages = -MERGED_PAGES
    while await writer.execute(partial(_merge, pages=pages)):
        pages = MERGED_PAGES


def _merge(session: Session, pages: int) -> bool:
    connection = session.connection()
    before = connection.exec_driver_sql("SELECT total_changes()").scalar_one()
    connection.exec_driver_sql(
        "INSERT INTO searched_text(searched_text, rank) VALUES ('merge', ?)", (pages,)
    )
    # FTS5 says so: a step that changes less than two rows had nothing to do.
    after = connection.exec_driver_sql("SELECT total_changes()").scalar_one()
    return int(after) - int(before) >= 2


def _free_pages(session: Session) -> bool:
    connection = session.connection()
    before = connection.exec_driver_sql("PRAGMA freelist_count").scalar_one()
    # A page a step, without a column, which SQLAlchemy takes for the end.
    cursor = connection.connection.cursor()
    cursor.execute(f"PRAGMA incremental_vacuum({FREED_PAGES})")
    cursor.fetchall()
    after = connection.exec_driver_sql("PRAGMA freelist_count").scalar_one()
    return 0 < int(after) < int(before)
