"""What happens on the way of a request, as rows. Nothing here waits or raises.

A row is opened when the request arrives and closed when its fate is known, so that a crash
leaves a trace: `mark_interrupted` finishes such rows at the next start.
"""
# ruff: noqa: A002 - the arguments are called what the columns are called

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Unpack

from sqlalchemy import Insert, Update, bindparam
from sqlmodel import Session, col, insert, select, update

from appliance.domain import Timings, Usage
from appliance.ledger import search
from appliance.ledger.database import changed_rows
from appliance.ledger.masking import masked
from appliance.ledger.recorded import Measured, Notes, counted, rounded
from appliance.ledger.tables import GenerationStored, RequestRecord
from appliance.ledger.tables_chat import ConversationMessage
from appliance.ledger.turns import keep_input
from appliance.ledger.writer import Writer

INTERRUPTED = "interrupted"

# Built once; the values come with each execution, so that no request pays for making SQL.
_OPEN_REQUEST = insert(RequestRecord)
_CHANGE_REQUEST = update(RequestRecord).where(col(RequestRecord.id) == bindparam("row_id"))
_OPEN_GENERATION = insert(GenerationStored)
_REQUEST_OF = select(GenerationStored.request_id).where(
    col(GenerationStored.id) == bindparam("row_id")
)
_CLOSE_GENERATION = update(GenerationStored).where(col(GenerationStored.id) == bindparam("row_id"))
_INTERRUPT_REQUESTS = (
    update(RequestRecord)
    .where(col(RequestRecord.status).is_(None))
    .values(status=500, error=INTERRUPTED)
)
_INTERRUPT_GENERATIONS = (
    update(GenerationStored)
    .where(col(GenerationStored.finish_reason).is_(None))
    .values(finish_reason=INTERRUPTED, error=INTERRUPTED)
)


class Recorder:
    """Writes `request` and `generation` rows through `writer`; secrets in texts are masked."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def open_request(
        self,
        *,
        id: str,
        created_at: datetime,
        method: str,
        path: str,
        client_ip: str | None,
        user_agent: str | None,
        client_request_id: str | None = None,
    ) -> None:
        """A request has arrived. `created_at` is aware; `id` is ours, from `new_id`.

        `client_request_id` is what the client calls it; nothing is ever looked up by it.
        """
        row = {
            "id": id,
            "created_at": created_at,
            "method": method,
            "path": path,
            "client_ip": client_ip,
            "user_agent": user_agent,
            "client_request_id": client_request_id,
        }
        self._writer.submit(lambda session: _insert(session, _OPEN_REQUEST, row))

    def close_request(
        self,
        id: str,
        *,
        status: int,
        duration_ms: float,
        key_name: str | None,
        error: str | None = None,
    ) -> None:
        """The answer is out. `key_name` is who asked: a key's name, "owner", or None."""
        row = {
            "row_id": id,
            "status": status,
            "duration_ms": rounded(duration_ms),
            "key_name": key_name,
            "error": masked(error),
        }
        self._writer.submit(lambda session: _close(session, _CHANGE_REQUEST, row))

    def open_generation(
        self,
        *,
        id: str,
        request_id: str,
        model: str,
        precision: str,
        engine: str,
        parameters: Mapping[str, Any],
        input: list[Any] | str | None,
        **notes: Unpack[Notes],
    ) -> None:
        """The engine is about to be asked. `input` is None where content is not recorded."""
        row = {
            "id": id,
            "request_id": request_id,
            "model": model,
            "precision": precision,
            "engine": engine,
            "parameters": dict(parameters),
            **notes,
        }
        self._writer.submit(lambda session: _open_generation(session, row, input))

    def close_generation(
        self,
        id: str,
        *,
        output: str | None,
        reasoning: str | None,
        usage: Usage | None,
        timings: Timings,
        finish_reason: str,
        error: str | None,
        tool_calls: list[Any] | None = None,
        cached_from: str | None = None,
        **measured: Unpack[Measured],
    ) -> None:
        """It is over, one way or another. `cached_from` is the request that was answered first."""
        row = {
            "row_id": id,
            "output": output,
            "reasoning": reasoning or None,
            "finish_reason": finish_reason,
            "error": error,
            "tool_calls": tool_calls or None,
            "cached_from": cached_from,
            **counted(usage, timings),
            **measured,
        }
        self._writer.submit(lambda session: _close_generation(session, row))

    def mark_interrupted(self) -> int:
        """Closes what the last run left open; returns how many requests that were.

        To be called once, at the start, before the first request: it waits for the commit
        and raises what went wrong.
        """
        return self._writer.schedule(_mark_interrupted).result()

    def mark_cut_off(self, request_ids: Collection[str]) -> None:
        """Closes those of these requests that are open: whoever served them is gone."""
        ids = list(request_ids)
        self._writer.submit(lambda session: _mark_cut_off(session, ids))


def _insert(session: Session, opening: Insert, row: dict[str, Any]) -> None:
    session.connection().execute(opening, row)


def _open_generation(session: Session, row: dict[str, Any], said: list[Any] | str | None) -> None:
    # In the writer's thread: masking and hashing a long chat must not hold up those who ask.
    said = masked(said)
    turn_id = None if said is None else keep_input(session, said)
    _insert(session, _OPEN_GENERATION, row | {"turn_id": turn_id})
    note = {"row_id": row["request_id"], "log_content": "metadata" if said is None else "full"}
    session.connection().execute(_CHANGE_REQUEST, note)
    if said:
        search.index(session, row["request_id"], search.input_text(said))


def _close_generation(session: Session, row: dict[str, Any]) -> None:
    texts = ("output", "reasoning", "tool_calls", "error")
    row |= {name: masked(row[name]) for name in texts}
    _close(session, _CLOSE_GENERATION, row)
    if said := search.output_text(row["output"], row["reasoning"]):
        request_id = session.connection().scalar(_REQUEST_OF, {"row_id": row["row_id"]})
        search.index(session, str(request_id), said)


def _close(session: Session, closing: Update, row: dict[str, Any]) -> None:
    if session.connection().execute(closing, row).rowcount == 0:
        raise LookupError("a row was to be closed whose opening was lost")


def _mark_cut_off(session: Session, request_ids: list[str]) -> None:
    changed_rows(session, _INTERRUPT_REQUESTS.where(col(RequestRecord.id).in_(request_ids)))
    their = col(GenerationStored.request_id).in_(request_ids)
    changed_rows(session, _INTERRUPT_GENERATIONS.where(their))


def _mark_interrupted(session: Session) -> int:
    requests = changed_rows(session, _INTERRUPT_REQUESTS)
    changed_rows(session, _INTERRUPT_GENERATIONS)
    changed_rows(
        session,
        update(ConversationMessage)
        .where(col(ConversationMessage.status) == "streaming")
        .values(status="failed", error=INTERRUPTED),
    )
    return requests
