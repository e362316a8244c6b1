"""One page of somebody's conversations, the last used first.

The order changes with every message, so a place in it is a moment and an id together.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, or_
from sqlmodel import col

from appliance.errors import InvalidRequest
from appliance.ledger.database import QUERIES_KEPT
from appliance.ledger.tables_chat import Conversation, ConversationMessage
from appliance.ledger.views import ConversationRow


def page_of_conversations(
    owner: str, before: str | None, limit: int, search: str = ""
) -> Select[*tuple[Any, ...]]:
    """One row more than `limit`, which tells whether there is a next page."""
    query = _listed(owner).limit(limit + 1)
    if search:
        query = query.where(_holds(search))
    return query if before is None else query.where(_older_than(before))


@lru_cache(QUERIES_KEPT)
def placed_conversations(owner: str, limit: int) -> Select[*tuple[Any, ...]]:
    """Those with a place of their own in the list: pinned, or in a folder."""
    placed = or_(col(Conversation.pinned).is_(True), col(Conversation.folder).is_not(None))
    return _listed(owner).where(placed).limit(limit)


@lru_cache(QUERIES_KEPT)
def _listed(owner: str) -> Select[*tuple[Any, ...]]:
    return (
        Select(
            col(Conversation.id),
            col(Conversation.title),
            col(Conversation.created_at),
            col(Conversation.updated_at),
            col(Conversation.folder),
            col(Conversation.pinned),
        )
        .where(col(Conversation.owner) == owner, col(Conversation.deleted_at).is_(None))
        .order_by(col(Conversation.updated_at).desc(), col(Conversation.id).desc())
    )


def _holds(text: str) -> ColumnElement[bool]:
    said = (
        Select(col(ConversationMessage.id))
        .where(
            col(ConversationMessage.conversation_id) == Conversation.id,
            col(ConversationMessage.content).icontains(text, autoescape=True),
        )
        .exists()
    )
    return or_(col(Conversation.title).icontains(text, autoescape=True), said)


def cursor(row: ConversationRow) -> str:
    """The place of `row` in the list; it needs no escaping in a URL."""
    return f"{row.updated_at:%Y%m%dT%H%M%S.%f}-{row.id}"


def _older_than(place: str) -> ColumnElement[bool]:
    moment, _, last_id = place.partition("-")
    try:
        updated_at = datetime.strptime(moment, "%Y%m%dT%H%M%S.%f").replace(tzinfo=UTC)
    except ValueError as error:
        raise InvalidRequest(
            "`before` must be the `next_before` of a page of conversations.", param="before"
        ) from error
    return or_(
        col(Conversation.updated_at) < updated_at,
        and_(col(Conversation.updated_at) == updated_at, col(Conversation.id) < last_id),
    )
