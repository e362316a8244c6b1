"""The files that questions of a chat were sent with. Those of a temporary chat stay in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from appliance.ledger.tables_assistants import Attachment
from appliance.ledger.tables_chat import ConversationMessage
from appliance.web.page import Page

Files = Mapping[str, tuple[Attachment, ...]]


async def send_with(
    page: Page, question: ConversationMessage, ids: Sequence[str], *, like: str | None = None
) -> None:
    """Drafts become files of the question; `like` names a question whose files it has too."""
    attachments, chats, owner = page.parts.attachments, page.parts.chats, page.caller.name
    place = question.conversation_id
    if not chats.is_temporary(place):
        await attachments.bind(ids, owner, question.id)
        if like is not None:
            await attachments.copy(like, question.id)
        return
    before = chats.held_files(place).get(like or "", ())
    chats.hold_files(place, question.id, (*before, *await attachments.take(ids, owner)))


async def files_of(page: Page, messages: Sequence[ConversationMessage]) -> Files:
    """The files of each question among `messages`, all of one chat."""
    asked = [message for message in messages if message.role == "user"]
    if not asked:
        return {}
    place = asked[0].conversation_id
    if page.parts.chats.is_temporary(place):
        return page.parts.chats.held_files(place)
    return await page.parts.attachments.of_messages([message.id for message in asked])
