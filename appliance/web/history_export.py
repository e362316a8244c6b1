"""A selection of the history as a file: chats for training, preference pairs, a table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal

from fastapi import APIRouter, Request, Response

from appliance.gateway.account import read_output
from appliance.ledger.filters import Selection
from appliance.ledger.selected import Selected
from appliance.ledger.tables import GenerationRecord
from appliance.web.files import growing_download
from appliance.web.history_form import HistoryForm
from appliance.web.page import Page, PageDep
from appliance.web.page_route import PageRoute
from appliance.web.snippets import messages, tools_of

router = APIRouter(route_class=PageRoute)
Kind = Literal["jsonl", "pairs", "csv", "parquet"]
COMPLETE = ("stop", "tool_calls")
OF_A_CHAT = ("tools", "parallel_tool_calls")
# What nobody has asked: names for chats, and the same once more.
BESIDE = ("title", "replay")
# A spreadsheet would take a cell that begins so for a formula, and do what a model wrote.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
COLUMNS = (
    "request_id", "created_at", "key_name", "client_ip", "path", "status", "dialect", "model",
    "engine", "parameters", "tools", "form", "input", "reasoning", "output", "tool_calls",
    "finish_reason", "error",
    "prompt_tokens", "cached_tokens", "completion_tokens", "queue_ms", "ttft_ms", "duration_ms",
    "rating", "note",
)  # fmt: skip


@router.get("/history/export")
async def export(page: PageDep, request: Request, kind: Kind = "jsonl") -> Response:
    """The whole selection, however many pages it has."""
    chosen = HistoryForm.read(request.query_params).selection(page.owner)
    writers: dict[str, tuple[Callable[[Page, Selection], AsyncIterator[Any]], str]] = {
        "jsonl": (_chats, "application/x-ndjson"),
        "pairs": (_pairs, "application/x-ndjson"),
        "csv": (_table, "text/csv; charset=utf-8"),
        "parquet": (_parquet, "application/vnd.apache.parquet"),
    }
    write, media_type = writers[kind]
    ending = {"jsonl": "chats.jsonl", "pairs": "pairs.jsonl"}.get(kind, f"requests.{kind}")
    return growing_download(page, write(page, chosen), ending, media_type)


async def _chats(page: Page, chosen: Selection) -> AsyncIterator[str]:
    """OpenAI's form for fine-tuning: each line one chat with its answer at the end, its tools."""
    async for one in page.parts.history.selected(chosen):
        record = one.generation
        answer = _first_answer(record)
        complete = record.finish_reason in COMPLETE and record.dialect not in BESIDE
        if not record.input or answer is None or not complete:
            continue
        asked = record.input
        turns = [{"role": "user", "content": asked}] if isinstance(asked, str) else messages(asked)
        offered = {k: v for k, v in tools_of(record).items() if k in OF_A_CHAT}
        yield _line({"messages": [*turns, answer]} | offered)


def _first_answer(record: GenerationRecord) -> dict[str, Any] | None:
    """The first choice as a turn; None where nothing was said, called or kept."""
    calls = [call for call in record.tool_calls or () if not call.get("choice")]
    said = (*read_output(record), "")[0]
    if not said and not calls:
        return None
    (turn,) = messages([{"role": "assistant", "content": said, "tool_calls": calls}])
    return turn


async def _pairs(page: Page, chosen: Selection) -> AsyncIterator[str]:
    """TRL's form for preferences, in the words of a chat."""
    async for pair in page.parts.history.pairs(chosen):
        answers = {"chosen": pair.chosen, "rejected": pair.rejected}
        told = {name: [{"role": "assistant", "content": said}] for name, said in answers.items()}
        yield _line({"prompt": pair.prompt, **told})


async def _table(page: Page, chosen: Selection) -> AsyncIterator[str]:
    # The mark at the beginning tells a spreadsheet that this is UTF-8.
    yield "\ufeff" + _csv(COLUMNS)
    async for one in page.parts.history.selected(chosen):
        values = record(one)
        yield _csv([_cell(values[name]) for name in COLUMNS])


async def _parquet(page: Page, chosen: Selection) -> AsyncIterator[bytes]:
    from appliance.web.parquet import ParquetWriter

    writer = ParquetWriter({name: KINDS.get(name, "text") for name in COLUMNS})
    rows: list[dict[str, Any]] = []
    yield writer.start()
    async for one in page.parts.history.selected(chosen):
        rows.append(record(one))
        if len(rows) == ROWS_A_GROUP:
            yield writer.group(rows)
            rows = []
    if rows:
        yield writer.group(rows)
    yield writer.end()


ROWS_A_GROUP = 1000
IN_JSON = ("tools", "form", "input", "tool_calls")
KINDS: dict[str, Literal["text", "whole", "number"]] = {
    **dict.fromkeys(("status", "rating"), "whole"),
    **dict.fromkeys(("prompt_tokens", "cached_tokens", "completion_tokens"), "whole"),
    **dict.fromkeys(("queue_ms", "ttft_ms", "duration_ms"), "number"),
}


def record(one: Selected) -> dict[str, Any]:
    """One generation as a row of the tables; what is JSON in the ledger is JSON text here."""
    generation, request, opinion = one.generation, one.request, one.opinion
    row = {name: getattr(generation, name, None) for name in COLUMNS}
    row |= {name: getattr(request, name) for name in ("key_name", "client_ip", "path", "status")}
    return row | {
        "created_at": request.created_at.isoformat(),
        "parameters": json.dumps(generation.parameters, ensure_ascii=False),
        **{name: _json(getattr(generation, name)) for name in IN_JSON},
        "rating": opinion.rating if opinion else None,
        "note": opinion.note if opinion else None,
    }


def _json(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _csv(values: Any) -> str:
    written = io.StringIO()
    # Quoted, so that no separator of another country's spreadsheet begins a cell inside of one.
    csv.writer(written, quoting=csv.QUOTE_NONNUMERIC).writerow(values)
    return written.getvalue()
