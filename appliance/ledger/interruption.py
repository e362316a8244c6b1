"""How rows end whose front has ended before them."""

from __future__ import annotations

from sqlalchemy import ColumnElement, or_
from sqlmodel import Session, col, select, update

from appliance.ledger.database import changed_rows
from appliance.ledger.tables import GenerationStored, RequestRecord
from appliance.ledger.tables_chat import ConversationMessage

INTERRUPTED = "interrupted"


def interrupt(session: Session, gone: ColumnElement[bool]) -> int:
    """Closes what is open of requests for which `gone` holds; how many requests that were.

    A generation may run on after its request, for a page that was left.
    """
    requests = (
        update(RequestRecord)
        .where(col(RequestRecord.status).is_(None), gone)
        .values(status=500, error=INTERRUPTED)
    )
    theirs = select(RequestRecord.id).where(gone)
    of_generation = theirs.where(RequestRecord.id == GenerationStored.request_id)
    generations = (
        update(GenerationStored)
        .where(col(GenerationStored.finish_reason).is_(None), of_generation.exists())
        .values(finish_reason=INTERRUPTED, error=INTERRUPTED)
    )
    of_message = theirs.where(RequestRecord.id == ConversationMessage.request_id)
    is_nobodys = col(ConversationMessage.request_id).is_(None)
    messages = (
        update(ConversationMessage)
        .where(col(ConversationMessage.status) == "streaming")
        .where(or_(is_nobodys, of_message.exists()))
        .values(status="failed", error=INTERRUPTED)
    )
    changed_rows(session, generations)
    changed_rows(session, messages)
    return changed_rows(session, requests)
