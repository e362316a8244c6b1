"""What the last run left open is closed at the next start: a crash leaves a trace."""

from __future__ import annotations

from sqlmodel import Session, col, update

from appliance.ledger.database import changed_rows
from appliance.ledger.tables import GenerationStored, RequestRecord
from appliance.ledger.tables_chat import ConversationMessage

INTERRUPTED = "interrupted"


def mark_interrupted(session: Session) -> int:
    """Closes open requests, generations and messages; returns how many requests that were."""
    requests = changed_rows(
        session,
        update(RequestRecord)
        .where(col(RequestRecord.status).is_(None))
        .values(status=500, error=INTERRUPTED),
    )
    changed_rows(
        session,
        update(GenerationStored)
        .where(col(GenerationStored.finish_reason).is_(None))
        .values(finish_reason=INTERRUPTED, error=INTERRUPTED),
    )
    changed_rows(
        session,
        update(ConversationMessage)
        .where(col(ConversationMessage.status) == "streaming")
        .values(status="failed", error=INTERRUPTED),
    )
    return requests
