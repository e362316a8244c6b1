"""The history in figures: requests, tokens and latencies over time and by key, as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Request, Response

from appliance.ledger.charts import Charts
from appliance.web.history_form import SPANS, HistoryForm
from appliance.web.page import PageDep
from appliance.web.page_route import PageRoute
from appliance.web.plots import Plot, bar_plot, line_plot

router = APIRouter(route_class=PageRoute)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LONGEST = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class ChartsView:
    """`by_key` bars are shares of the busiest key in percent; `spans` are offered to choose."""

    form: HistoryForm
    charts: Charts
    requests: Plot
    tokens: Plot
    first_token: Plot
    total: Plot
    shares: Sequence[float]
    by_day: bool
    spans: Sequence[str]


@router.get("/history/charts")
async def show_charts(page: PageDep, request: Request) -> Response:
    form = HistoryForm.read(request.query_params)
    if not form.last and not form.since:
        form = replace(form, last="day")
    chosen = form.selection(page.owner)
    now = datetime.now(UTC)
    since = max(chosen.since or now - DAY, (chosen.until or now) - LONGEST)
    step = HOUR if (chosen.until or now) - since <= 3 * DAY else DAY
    found = await page.parts.history.charts(replace(chosen, since=since, words=None), since, step)
    return page.render("charts.html", _view(form, found))


def _view(form: HistoryForm, found: Charts) -> ChartsView:
    slots = [figures for _, figures in found.slots]
    most = max((figures.requests for _, figures in found.by_key), default=1)
    return ChartsView(
        form=form,
        charts=found,
        requests=bar_plot([slot.requests for slot in slots]),
        tokens=bar_plot([slot.completion_tokens for slot in slots]),
        first_token=line_plot(
            [
                [_seconds(slot.ttft_p50) for slot in slots],
                [_seconds(slot.ttft_p95) for slot in slots],
            ]
        ),
        total=line_plot(
            [
                [_seconds(slot.total_p50) for slot in slots],
                [_seconds(slot.total_p95) for slot in slots],
            ]
        ),
        shares=[round(figures.requests / most * 100, 2) for _, figures in found.by_key],
        by_day=found.step >= DAY,
        spans=tuple(SPANS),
    )


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
