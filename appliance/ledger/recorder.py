"""What happens on the way of a request, as rows. Nothing here waits or raises.

A row is opened when the request arrives and closed when its fate is known, so that a crash
leaves a trace: `mark_interrupted` finishes such rows at the next start.
"""
# ruff: noqa: A002 - the arguments are called what the columns are called

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Unpack

from sqlalchemy import Insert, bindparam
from sqlmodel import Session, col, insert, update

from appliance.domain import Timings, Usage
from appliance.ledger import fronts, search
from appliance.ledger.interruption import interrupt
from appliance.ledger.masking import masked
from appliance.ledger.recorded import Measured, Notes, counted, rounded
from appliance.ledger.tables import GenerationStored, RequestRecord
from appliance.ledger.turns import keep_input, keep_part
from appliance.ledger.writer import Writer

# Built once; the values come with each execution, so that no request pays for making SQL.
_OPEN_REQUEST = insert(RequestRecord)
_CHANGE_REQUEST = update(RequestRecord).where(col(RequestRecord.id) == bindparam("row_id"))
_OPEN_GENERATION = insert(GenerationStored)
_CLOSE_GENERATION = (
    update(GenerationStored)
    .where(col(GenerationStored.id) == bindparam("row_id"))
    .returning(col(GenerationStored.request_id))
)
NEVER_OPENED = "a row was to be closed whose opening was lost"


class Recorder:
    """Writes `request` and `generation` rows through `writer`; secrets in texts are masked.

    `front` is the name of the appliance that serves the requests, among those of one ledger.
    """

    def __init__(self, writer: Writer, front: str | None = None) -> None:
        self.front = front
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
            "front": self.front,
        }
        # Nothing on a page tells of its own row, so no page waits for the disk to have it.
        asks = method not in ("GET", "HEAD")
        self._writer.submit(lambda session: _insert(session, _OPEN_REQUEST, row), looked_for=asks)

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
        self._writer.submit(lambda session: _close_request(session, row))

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
        tools: list[Any] | None = None,
        form: Any = None,
        **notes: Unpack[Notes],
    ) -> None:
        """The engine is about to be asked. `input` is None where content is not recorded.

        `tools` are those offered, `form` is the schema, pattern or texts that the answer has to
        obey; None where there are none, or content is not recorded.
        """
        row = {
            "id": id,
            "request_id": request_id,
            "model": model,
            "precision": precision,
            "engine": engine,
            "parameters": dict(parameters),
            **notes,
        }
        self._writer.submit(lambda session: _open_generation(session, row, input, tools, form))

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
        """Closes what was left open by a run that is over; how many requests that were.

        To be called once, at the start, before the first request: it waits for the commit
        and raises what went wrong.
        """
        return self._writer.schedule(partial(fronts.begin, name=self.front)).result()

    def mark_cut_off(self, request_ids: Collection[str]) -> None:
        """Closes those of these requests that are open: whoever served them is gone."""
        theirs = col(RequestRecord.id).in_(list(request_ids))
        self._writer.submit(partial(interrupt, gone=theirs))


def _insert(session: Session, opening: Insert, row: dict[str, Any]) -> None:
    session.connection().execute(opening, row)


def _open_generation(
    session: Session, row: dict[str, Any], said: list[Any] | str | None, tools: Any, form: Any
) -> None:
    # In the writer's thread: masking and hashing a long chat must not hold up those who ask.
    said = masked(said)
    kept = {
        "turn_id": None if said is None else keep_input(session, said),
        "tools_id": keep_part(session, masked(tools)),
        "form_id": keep_part(session, masked(form)),
    }
    _insert(session, _OPEN_GENERATION, row | kept)
    note = {"row_id": row["request_id"], "log_content": "metadata" if said is None else "full"}
    session.connection().execute(_CHANGE_REQUEST, note)
    if said:
        search.index(session, row["request_id"], search.input_text(said))


def _close_generation(session: Session, row: dict[str, Any]) -> None:
    texts = ("output", "reasoning", "tool_calls", "error")
    row |= {name: masked(row[name]) for name in texts}
    request_id = session.connection().scalar(_CLOSE_GENERATION, row)
    if request_id is None:
        raise LookupError(NEVER_OPENED)
    search.index(session, request_id, search.output_text(row["output"], row["reasoning"]))


def _close_request(session: Session, row: dict[str, Any]) -> None:
    if session.connection().execute(_CHANGE_REQUEST, row).rowcount == 0:
        raise LookupError(NEVER_OPENED)
