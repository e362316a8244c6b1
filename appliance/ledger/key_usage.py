"""What a key was used for, day by day: for its page, the command line and the admin API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import func
from sqlmodel import Session, col, select

from appliance.ledger.database import Database
from appliance.ledger.tables import GenerationStored, RequestRecord
from appliance.ledger.writer import Writer


@dataclass(frozen=True, slots=True)
class DayOfUse:
    """One day (UTC) of requests for tokens. `failed` of them were refused or broke off; `tokens`
    were read and written."""

    day: date
    requests: int = 0
    failed: int = 0
    tokens: int = 0


class KeyUsage:
    """Counts from the ledger; rows that were swept away are not in it."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer

    async def days(self, name: str, count: int) -> list[DayOfUse]:
        """The last `count` days up to today, oldest first, days without use too."""
        first = datetime.now(UTC).date() - timedelta(days=count - 1)
        await self._writer.drained()
        rows = await self._database.read(lambda session: _rows(session, name, first))
        used = {day.day: day for day in map(_day, rows)}
        days = [first + timedelta(days=n) for n in range(count)]
        return [used.get(day, DayOfUse(day)) for day in days]


def _rows(session: Session, name: str, first: date) -> Sequence[Any]:
    day = func.date(RequestRecord.created_at)
    read, said = GenerationStored.prompt_tokens, GenerationStored.completion_tokens
    tokens = func.coalesce(read, 0) + func.coalesce(said, 0)
    query = (
        select(day, func.count(), func.count(col(GenerationStored.error)), func.sum(tokens))
        .join(GenerationStored, col(GenerationStored.request_id) == RequestRecord.id)
        .where(
            RequestRecord.key_name == name,
            RequestRecord.created_at >= datetime.combine(first, time.min, UTC),
        )
        .group_by(day)
    )
    return session.exec(query).all()


def _day(row: tuple[Any, int, int, int]) -> DayOfUse:
    day, requests, failed, tokens = row
    return DayOfUse(date.fromisoformat(str(day)), requests, failed, tokens)
