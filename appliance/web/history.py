"""What was asked and answered: a list, newest first, and each request whole."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fastapi import APIRouter, Response

from appliance.domain import Message, ToolCall
from appliance.errors import NotFound
from appliance.gateway.account import read_calls, read_input, read_output
from appliance.ledger.tables import GenerationRecord, RequestRecord
from appliance.ledger.views import RequestRow
from appliance.web.page import PageDep, PageRoute
from appliance.web.plots import Span, timeline

router = APIRouter(route_class=PageRoute)
ROWS_A_PAGE = 30
Show = Literal["answers", "all"]


@dataclass(frozen=True, slots=True)
class HistoryView:
    """One page of the list. `older` is the id to go on from, None at the end."""

    rows: Sequence[RequestRow]
    show: Show
    is_first_page: bool
    older: str | None


@dataclass(frozen=True, slots=True)
class GenerationView:
    """One generation, its JSON read: `turns` of a chat, or the raw text as a user turn.

    `outputs` are the texts of its choices, `calls` the tools that the model wanted called.
    """

    record: GenerationRecord
    turns: Sequence[Message]
    outputs: Sequence[str]
    calls: Sequence[ToolCall]
    parameters: Mapping[str, str]
    spans: Sequence[Span]
    tokens_per_second: float | None


@dataclass(frozen=True, slots=True)
class RequestView:
    request: RequestRecord
    generations: Sequence[GenerationView]


@router.get("/history")
async def history(page: PageDep, before: str | None = None, show: Show = "answers") -> Response:
    found = await page.parts.queries.requests(
        owner=page.owner, before=before, limit=ROWS_A_PAGE, generations_only=show == "answers"
    )
    view = HistoryView(found.rows, show, before is None, found.next_before)
    return page.render("history.html", view, block="rows" if page.wants_fragment else None)


@router.get("/history/{request_id}")
async def request(page: PageDep, request_id: str) -> Response:
    found = await page.parts.queries.request(request_id, owner=page.owner)
    if found is None:
        raise NotFound("There is no such request, or it is somebody else's.")
    generations = tuple(_generation(record) for record in found.generations)
    return page.render("request.html", RequestView(found.request, generations))


def _generation(record: GenerationRecord) -> GenerationView:
    spans: Sequence[Span] = ()
    if record.duration_ms is not None:
        spans = timeline(record.queue_ms or 0.0, record.ttft_ms, record.duration_ms)
    return GenerationView(
        record=record,
        turns=read_input(record.input),
        outputs=read_output(record),
        calls=read_calls(record.tool_calls or ()),
        parameters={name: _in_short(value) for name, value in record.parameters.items()},
        spans=spans,
        tokens_per_second=_decode_rate(record),
    )


def _in_short(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _decode_rate(record: GenerationRecord) -> float | None:
    """Tokens a second from the first to the last one; the first belongs to the prefill.

    None for an answer given again: nothing was computed for it.
    """
    if record.cached_from is not None:
        return None
    tokens, first, total = record.completion_tokens, record.ttft_ms, record.duration_ms
    if not tokens or tokens < 2 or first is None or total is None or total <= first:
        return None
    return (tokens - 1) / (total - first) * 1000
