"""A chat and one message of it, which another front may be writing that shares the ledger."""

from __future__ import annotations

import asyncio
import contextlib

from appliance.errors import NotFound
from appliance.ledger.tables_chat import ConversationMessage
from appliance.ledger.views import ConversationDetail
from appliance.web.page import Page
from appliance.web.sse import wants_once

LOOK_EVERY_SECONDS = 1.0
# Another appliance on the same ledger looks several times a second what it is to stop.
STOPPED_ELSEWHERE_SECONDS = 5.0


async def conversation_of(page: Page, conversation_id: str) -> ConversationDetail:
    """The conversation; raises NotFound when it is not the reader's."""
    return await page.parts.chats.of(conversation_id).get(conversation_id, page.caller.name)


async def message_of(page: Page, conversation_id: str, message_id: str) -> ConversationMessage:
    """The message; raises NotFound when the conversation is not the reader's or has no such one."""
    return message_in(await conversation_of(page, conversation_id), message_id)


async def written_elsewhere(page: Page, conversation_id: str, message_id: str) -> None:
    """Until nobody writes this answer any more.

    Who asks only for what stands now is kept for one look's time, so that they do not ask at once.
    """
    once = wants_once(page.request)
    while (await message_of(page, conversation_id, message_id)).status == "streaming":
        await asyncio.sleep(LOOK_EVERY_SECONDS)
        if once:
            return


async def stopped_elsewhere(page: Page, conversation_id: str, message_id: str) -> None:
    """Until nobody writes this answer any more, or whoever does is busy with something else."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STOPPED_ELSEWHERE_SECONDS):
            await written_elsewhere(page, conversation_id, message_id)


def message_in(found: ConversationDetail, message_id: str) -> ConversationMessage:
    for message in found.messages:
        if message.id == message_id:
            return message
    raise NotFound("This message does not exist.")
