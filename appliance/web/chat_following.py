"""An answer of a chat while it is written: followed, hurried, stopped.

Its message's id is also its run's id. The run goes on when the page is closed, and whoever opens
the conversation again follows it from its beginning.
"""

from __future__ import annotations

import contextlib

from fastapi import APIRouter, Response

from appliance.errors import InvalidRequest
from appliance.web.chat_found import (
    conversation_of,
    message_of,
    stopped_elsewhere,
    written_elsewhere,
)
from appliance.web.chat_views import MESSAGE, message_view
from appliance.web.page import ASKING, Page, PageDep
from appliance.web.page_route import PageRoute
from appliance.web.streaming import stream

router = APIRouter(route_class=PageRoute, dependencies=ASKING)


@router.post("/chat/{conversation_id}/stop")
async def stop(page: PageDep, conversation_id: str) -> Response:
    """Stops whatever is being written in this conversation; what was said stays."""
    for message in (await conversation_of(page, conversation_id)).messages:
        if message.status == "streaming":
            await page.parts.runs.stop(message.id, page.caller.name)
            await stopped_elsewhere(page, conversation_id, message.id)
    return _done(page, f"/chat/{conversation_id}")


@router.post("/chat/{conversation_id}/messages/{message_id}/answer-now")
async def answer_now(page: PageDep, conversation_id: str, message_id: str) -> Response:
    """Ends the thinking, so that the answer begins. One that has begun already is let be."""
    await message_of(page, conversation_id, message_id)
    run = page.parts.runs.get(message_id, page.caller.name)
    if run is not None and run.generation_id is not None and run.thinking:
        # Between the click and now it may have ended its thinking by itself.
        with contextlib.suppress(InvalidRequest):
            await page.parts.gateway.answer_now(run.generation_id, page.caller)
    return _done(page, f"/chat/{conversation_id}#{message_id}")


@router.get("/chat/{conversation_id}/messages/{message_id}/stream")
async def follow(page: PageDep, conversation_id: str, message_id: str) -> Response:
    """The answer from its beginning, then as it grows, then the message as it stays."""
    await message_of(page, conversation_id, message_id)
    run = page.parts.runs.get(message_id, page.caller.name)

    async def finished() -> str:
        if run is None:
            await written_elsewhere(page, conversation_id, message_id)
        return page.html(MESSAGE, await message_view(page, conversation_id, message_id))

    return stream(page, run, finished)


def _done(page: Page, path: str) -> Response:
    """Nothing to swap: the stream brings what has changed."""
    return Response(status_code=204) if page.wants_fragment else page.redirect(path)
