"""How the appliance is: engine, plan with its reasons, throughput, ledger, reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address

import psutil
from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse

from appliance.domain import Phrase
from appliance.engine.status import EngineStatus
from appliance.ledger.views import MinuteBucket, Totals
from appliance.observability.readings import LedgerReading
from appliance.web.page import Page, PageDep
from appliance.web.page_route import PageRoute
from appliance.web.parts import Reach
from appliance.web.plots import Plot, bar_plot, line_plot

router = APIRouter(route_class=PageRoute)
MINUTES = 60
LIVE_BLOCKS = ("losses", "engine", "figures", "plots", "table", "orders", "poll")


@dataclass(frozen=True, slots=True)
class Plots:
    """The last hour, a point a minute: requests, tokens a second, seconds to answer."""

    requests: Plot
    tokens: Plot
    latency: Plot


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusView:
    """`live` is True in a refresh, whose blocks each find their own place on the page."""

    live: bool
    engine: EngineStatus
    reasons: Sequence[Phrase]
    buckets: Sequence[MinuteBucket]
    plots: Plots
    totals: Totals
    losses: LedgerReading
    fronts: int
    reach: Reach
    is_local: bool
    is_ours: bool
    memory_bytes: int
    uptime_ms: float


@router.get("/status")
async def status(page: PageDep) -> Response:
    return page.render("status.html", await _view(page, live=False))


@router.get("/status/live")
async def live(page: PageDep) -> Response:
    """What changes on an open page. It asks every few seconds, so the ledger leaves this out."""
    view = await _view(page, live=True)
    blocks = [page.html("status.html", view, block=block) for block in LIVE_BLOCKS]
    return HTMLResponse("".join(blocks), headers={"Cache-Control": "no-store"})


async def _view(page: Page, *, live: bool) -> StatusView:
    parts = page.parts
    buckets = await parts.queries.throughput(minutes=MINUTES)
    return StatusView(
        live=live,
        engine=parts.engine.status,
        reasons=tuple(reason.phrase for reason in parts.plan.reasons),
        buckets=buckets,
        plots=draw(buckets),
        totals=await parts.queries.totals(),
        losses=parts.losses(),
        fronts=parts.fronts(),
        reach=parts.reach,
        is_local=is_local(parts.reach.host),
        is_ours=parts.plan.engine != "remote",
        memory_bytes=psutil.Process().memory_info().rss,
        uptime_ms=(datetime.now(UTC) - parts.reach.started_at).total_seconds() * 1000,
    )


def draw(buckets: Sequence[MinuteBucket]) -> Plots:
    """The plots of `buckets`, one a minute, oldest first."""
    return Plots(
        requests=bar_plot([bucket.requests for bucket in buckets]),
        tokens=bar_plot([bucket.completion_tokens / 60 for bucket in buckets]),
        latency=line_plot(
            [
                [_seconds(bucket.p50_ms) for bucket in buckets],
                [_seconds(bucket.p95_ms) for bucket in buckets],
            ]
        ),
    )


def is_local(host: str) -> bool:
    """True when nobody but this machine can reach `host`."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _seconds(ms: float | None) -> float | None:
    return None if ms is None else ms / 1000
