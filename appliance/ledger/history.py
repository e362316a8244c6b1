"""The history as its page asks for it: selections, opinions of answers, saved views."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import Select, delete
from sqlmodel import Session, col, select

from appliance.errors import InvalidRequest, NotFound
from appliance.ledger.charts import Charts, charts
from appliance.ledger.database import QUERIES_KEPT, Database, changed_rows
from appliance.ledger.filters import Selection
from appliance.ledger.find import Found, find
from appliance.ledger.ids import new_id
from appliance.ledger.offered import offered
from appliance.ledger.preferences import Pair, pairs
from appliance.ledger.queries import MAX_PAGE, rows_of
from appliance.ledger.selected import Selected, selected
from appliance.ledger.tables import GenerationStored, RequestRecord
from appliance.ledger.tables_feedback import Feedback, SavedView
from appliance.ledger.views import RequestRow
from appliance.ledger.writer import Writer

T = TypeVar("T")

LONGEST_NOTE = 4000
LONGEST_NAME = 80
MOST_VIEWS = 50


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Newest first. `next_before` asks for the page after this one; None at the end.

    `complete` is false when the page is not full because looking further would take too long.
    """

    rows: tuple[RequestRow, ...]
    next_before: str | None
    complete: bool


class History:
    """Reads `database`, after what `writer` has in hand; writes through `writer`."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer

    async def page(
        self, chosen: Selection, *, before: str | None = None, limit: int = 50
    ) -> HistoryPage:
        """The newest `limit` (≤ MAX_PAGE) requests of a selection, older than the id `before`."""
        limit = max(1, min(limit, MAX_PAGE))

        def read(session: Session) -> HistoryPage:
            found: Found = find(session, chosen, before=before, limit=limit)
            return HistoryPage(rows_of(session, found.ids), found.next_before, found.complete)

        return await self._fresh(read)

    def selected(self, chosen: Selection, most: int | None = None) -> AsyncIterator[Selected]:
        """The generations of a selection whole, newest first, at most `most`."""
        return selected(self._database, self._writer, chosen, most)

    def pairs(self, chosen: Selection) -> AsyncIterator[Pair]:
        """Preference pairs from the chats of the selection's person, key and time."""
        return pairs(self._database, chosen)

    async def charts(self, chosen: Selection, since: datetime, step: timedelta) -> Charts:
        """Figures of a selection since a moment, in steps of an hour or a day."""
        return await self._fresh(lambda session: charts(session, chosen, since, step))

    async def newer(self, chosen: Selection, after: str, limit: int) -> tuple[RequestRow, ...]:
        """Requests of the selection that came after the id `after` and are over, newest first."""
        found = (await self.page(chosen, limit=limit)).rows
        return tuple(row for row in found if row.id > after and row.status is not None)

    async def rate(self, request_id: str, by: str, rating: int | None, note: str) -> None:
        """Keeps what `by` thinks of the answer: 1, -1 or None; without note and rating nothing.

        Raises InvalidRequest for another rating or a note that is too long.
        """
        if rating not in (1, -1, None):
            raise InvalidRequest("A rating is 1 (good) or -1 (bad).", param="rating")
        note = note.strip()
        if len(note) > LONGEST_NOTE:
            raise InvalidRequest(
                "A note has at most %(most)s characters; this one has %(count)s.",
                param="note", most=LONGEST_NOTE, count=len(note),
            )  # fmt: skip
        await self._writer.execute(lambda session: _rate(session, request_id, by, rating, note))

    async def ratings(self, request_ids: Sequence[str], by: str | None) -> dict[str, Feedback]:
        """What `by` thinks of these requests; with None what anybody does, the last one wins."""
        query = select(Feedback).where(col(Feedback.request_id).in_(request_ids))
        if by is not None:
            query = query.where(Feedback.by == by)
        query = query.order_by(col(Feedback.created_at))
        found = await self._fresh(lambda session: session.exec(query).all())
        return {opinion.request_id: opinion for opinion in found}

    async def replays(self, generation_ids: Sequence[str]) -> list[str]:
        """Ids of the requests that ran one of these generations again, oldest first."""
        query: Any = (
            Select(col(GenerationStored.request_id))
            .where(col(GenerationStored.replay_of).in_(generation_ids))
            .order_by(col(GenerationStored.id))
            .limit(MAX_PAGE)
        )
        return await self._fresh(lambda session: list(session.execute(query).scalars()))

    async def request_of(self, generation_id: str) -> str | None:
        """The id of the request that a generation belongs to."""
        query: Any = Select(col(GenerationStored.request_id)).where(
            col(GenerationStored.id) == generation_id
        )
        return await self._fresh(lambda session: session.scalar(query))

    async def views(self, owner: str) -> Sequence[SavedView]:
        """`owner`'s saved views by name."""
        return await self._fresh(lambda session: session.exec(_views_of(owner)).all())

    async def save_view(self, owner: str, name: str, query: str) -> None:
        """Keeps a selection under a name; one of this name is replaced.

        Raises InvalidRequest for a name that is empty or too long, or with too many views.
        """
        name = " ".join(name.split())
        if not 0 < len(name) <= LONGEST_NAME:
            raise InvalidRequest(
                "A saved view needs a name of 1 to %(most)s characters.",
                param="name", most=LONGEST_NAME,
            )  # fmt: skip
        await self._writer.execute(lambda session: _save(session, owner, name, query))

    async def delete_view(self, owner: str, name: str) -> None:
        """Forgets a saved view; none of that name is no error."""
        statement = delete(SavedView).where(
            col(SavedView.owner) == owner, col(SavedView.name) == name
        )
        await self._writer.execute(lambda session: changed_rows(session, statement))

    async def values(self) -> dict[str, list[str]]:
        """Keys, models and routes that there are, for a form to offer; a few of each."""
        return await self._fresh(offered)

    async def _fresh(self, query: Callable[[Session], T]) -> T:
        await self._writer.drained()
        return await self._database.read(query)


@lru_cache(QUERIES_KEPT)
def _views_of(owner: str) -> Any:
    return select(SavedView).where(SavedView.owner == owner).order_by(col(SavedView.name))


def _rate(session: Session, request_id: str, by: str, rating: int | None, note: str) -> None:
    if session.get(RequestRecord, request_id) is None:
        raise NotFound("There is no such request, or it is somebody else's.")
    own = delete(Feedback).where(col(Feedback.request_id) == request_id, col(Feedback.by) == by)
    changed_rows(session, own)
    if rating is None and not note:
        return
    opinion: dict[str, Any] = {"request_id": request_id, "rating": rating, "note": note or None}
    session.add(Feedback(id=new_id(), by=by, created_at=datetime.now(UTC), **opinion))


def _save(session: Session, owner: str, name: str, query: str) -> None:
    own = col(SavedView.owner) == owner
    changed_rows(session, delete(SavedView).where(own, col(SavedView.name) == name))
    kept = session.exec(select(SavedView.id).where(own).limit(MOST_VIEWS)).all()
    if len(kept) >= MOST_VIEWS:
        raise InvalidRequest(
            "There are %(most)s saved views already. Delete one first.",
            param="name", most=MOST_VIEWS,
        )  # fmt: skip
    session.add(
        SavedView(id=new_id(), owner=owner, name=name, query=query, created_at=datetime.now(UTC))
    )
