"""A growing answer on its way to a page: Markdown rendered as it settles.

Events: `start` empties the region (a browser that reconnects begins again), `thinking` appends
to the folded reasoning, `settled` appends finished blocks, `tail` replaces the block that still
grows, `done` brings what takes the region's place.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

from markupsafe import escape
from starlette.responses import Response

from appliance.web.markdown import GrowingMarkdown
from appliance.web.runs import Run
from appliance.web.sse import event, event_stream

# Faster than the eye needs is only work: changes within this time are sent as one.
FRAME_SECONDS = 0.05
# A long open block (a big listing) is rendered less often, so that its cost stays bounded.
TAIL_CHARACTERS_PER_SECOND = 60_000


def stream(run: Run, finished: Callable[[], Awaitable[str]]) -> Response:
    """Follows `run` from its beginning; `finished` renders what stays on the page afterwards."""
    return event_stream(_events(run, finished))


async def _events(run: Run, finished: Callable[[], Awaitable[str]]) -> AsyncGenerator[str, None]:
    prose = GrowingMarkdown()
    thoughts = 0
    yield event("start", "")
    async for _ in run.changes():
        if len(run.reasoning) > thoughts:
            yield event("thinking", str(escape(run.reasoning[thoughts:])))
            thoughts = len(run.reasoning)
        settled, tail = prose.update(run.text)
        if settled:
            yield event("settled", settled)
        yield event("tail", tail)
        if not run.over:
            await asyncio.sleep(FRAME_SECONDS + len(tail) / TAIL_CHARACTERS_PER_SECOND)
    yield event("done", await finished())
