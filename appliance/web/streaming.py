"""A growing answer on its way to a page: Markdown rendered as it settles.

Events: `start` empties the region (a browser that reconnects begins again), `thinking` appends
to the folded reasoning, `settled` appends finished blocks, `tail` replaces the block that still
grows, `meter` tells time and speed, `done` brings what takes the region's place.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

from markupsafe import escape
from starlette.responses import Response

from appliance.web import formats
from appliance.web.markdown import GrowingMarkdown
from appliance.web.page import OpenPage
from appliance.web.run import Run
from appliance.web.sse import event, event_stream

# Faster than the eye needs is only work: changes within this time are sent as one.
FRAME_SECONDS = 0.05
# A long open block (a big listing) is rendered less often, so that its cost stays bounded.
TAIL_CHARACTERS_PER_SECOND = 60_000
METER_SECONDS = 1.0


def stream(page: OpenPage, run: Run | None, finished: Callable[[], Awaitable[str]]) -> Response:
    """Follows `run` from its beginning; `finished` renders what stays on the page afterwards.

    Without a run (forgotten, or of an earlier start of the appliance) there is only the end.
    """
    return event_stream(_events(page, run, finished))


async def _events(
    page: OpenPage, run: Run | None, finished: Callable[[], Awaitable[str]]
) -> AsyncGenerator[str, None]:
    if run is not None:
        async for frame in _frames(page, run):
            yield frame
    yield event("done", await finished())


async def _frames(page: OpenPage, run: Run) -> AsyncIterator[str]:
    prose = GrowingMarkdown()
    thoughts = 0
    yield event("start", "")
    async for _ in run.changes(at_least_every=METER_SECONDS):
        if len(run.reasoning) > thoughts:
            yield event("thinking", str(escape(run.reasoning[thoughts:])))
            thoughts = len(run.reasoning)
        settled, tail = prose.update(run.text)
        if settled:
            yield event("settled", settled)
        yield event("tail", tail) + event("meter", meter(page, run))
        if not run.over:
            await asyncio.sleep(FRAME_SECONDS + len(tail) / TAIL_CHARACTERS_PER_SECOND)


def meter(page: OpenPage, run: Run) -> str:
    """How long, how much, how fast, in the reader's language."""
    show = formats.filters(page.language)
    seconds = show["ms"](run.elapsed * 1000)
    if not run.deltas:
        return page.gettext("Waiting for the first word … %(time)s") % {"time": seconds}
    tokens = page.ngettext("%(count)s token", "%(count)s tokens", run.deltas)
    parts = [seconds, tokens % {"count": show["number"](run.deltas)}]
    if run.rate is not None:
        parts.append(page.gettext("%(rate)s tokens/s") % {"rate": show["decimal"](run.rate)})
    return " · ".join(parts)
