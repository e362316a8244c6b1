"""A growing answer on its way to a page: Markdown rendered as it settles.

Events: `start` empties the region (a browser that reconnects begins again), `thinking` appends
to the folded reasoning, `settled` appends finished blocks, `tail` replaces the block that still
grows, `thought` says how long it has thought, `meter` tells place in line, time and speed, `done`
brings what takes the region's place.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

from markupsafe import escape
from starlette.responses import Response

from appliance.web import formats
from appliance.web.markdown import GrowingMarkdown
from appliance.web.page import OpenPage, Page
from appliance.web.run import Run
from appliance.web.sse import event, event_stream, wants_once

# Faster than the eye needs is only work: changes within this time are sent as one.
FRAME_SECONDS = 0.05
# A long open block (a big listing) is rendered less often, so that its cost stays bounded.
TAIL_CHARACTERS_PER_SECOND = 60_000
METER_SECONDS = 1.0


def stream(page: Page, run: Run | None, finished: Callable[[], Awaitable[str]]) -> Response:
    """Follows `run` from its beginning; `finished` renders what stays on the page afterwards.

    Without a run (forgotten, or of an earlier start of the appliance) there is only the end.
    """
    return event_stream(page, _events(page, run, finished, once=wants_once(page.request)))


async def _events(
    page: OpenPage, run: Run | None, finished: Callable[[], Awaitable[str]], *, once: bool
) -> AsyncGenerator[str, None]:
    if run is not None:
        async for frame in _frames(page, run):
            yield frame
            if once and not run.over:
                return
    yield event("done", await finished())


async def _frames(page: OpenPage, run: Run) -> AsyncIterator[str]:
    """Each frame is everything that is new: the first alone shows all that there is."""
    prose = GrowingMarkdown()
    thoughts, begun = 0, event("start", "")
    async for _ in run.changes(at_least_every=METER_SECONDS):
        frame, begun = begun, ""
        if len(run.reasoning) > thoughts:
            frame += event("thinking", str(escape(run.reasoning[thoughts:])))
            thoughts = len(run.reasoning)
            frame += event("thought", thought(page, run))
        settled, tail = prose.update(run.text)
        if settled:
            frame += event("settled", settled)
        yield frame + event("tail", tail) + event("meter", meter(page, run))
        if not run.over:
            await asyncio.sleep(FRAME_SECONDS + len(tail) / TAIL_CHARACTERS_PER_SECOND)


def announcement(page: OpenPage, run: Run | None) -> str:
    """For screen readers, once and at the end, into the page's `#announce`: the answer is there.

    The answer itself is no live region: nobody could bear hearing it token by token.
    """
    if run is None or run.state == "done":
        said = page.gettext("The answer is complete.")
    else:
        said = page.gettext("The answer has ended.")
    return f'<div id="announce" hx-swap-oob="innerHTML">{escape(said)}</div>'


def thought(page: OpenPage, run: Run) -> str:
    """How long it has thought so far, in the reader's language."""
    spent = formats.filters(page.language)["ms"]((run.thinking_seconds or 0) * 1000)
    return page.gettext("Thinking … %(time)s") % {"time": spent}


def meter(page: OpenPage, run: Run) -> str:
    """The place in line; then how long, how much, how fast, in the reader's language."""
    show = formats.filters(page.language)
    seconds = show["ms"](run.elapsed * 1000)
    if not run.deltas and (line := _in_line(page, run)):
        return f"{line} · {seconds}"
    if not run.deltas:
        return page.gettext("Waiting for the first word … %(time)s") % {"time": seconds}
    tokens = page.ngettext("%(count)s token", "%(count)s tokens", run.deltas)
    parts = [seconds, tokens % {"count": show["number"](run.deltas)}]
    if run.rate is not None:
        parts.append(page.gettext("%(rate)s tokens/s") % {"rate": show["decimal"](run.rate)})
    return " · ".join(parts)


def _in_line(page: OpenPage, run: Run) -> str:
    """Where it stands in the queue, and how long that will take; nothing when it does not wait."""
    if page.caller is None or run.state != "waiting":
        return ""
    place = page.parts.gateway.place(run.request_id, page.caller)
    if place is None:
        return ""
    show = formats.filters(page.language)
    if place.seconds is None:
        return page.gettext("Number %(place)s in line") % {"place": place.position}
    return page.gettext("Number %(place)s in line, about %(time)s") % {
        "place": place.position,
        "time": show["ms"](max(1.0, place.seconds) * 1000),
    }
