"""What the chat's templates are given, and how it is gathered."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.errors import NotFound
from appliance.ledger.tables_chat import Conversation, ConversationMessage
from appliance.ledger.views import ConversationDetail, ConversationPage
from appliance.web.chat_messages import Bubble, bubble
from appliance.web.page import Page

CHAT = "chat.html"
CHATS = "chats.html"
MESSAGE = "message.html"
RECENT_CHATS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatView:
    """`conversation` is None for a new chat; `chats` are the reader's latest, for the sidebar."""

    conversation: Conversation | None
    bubbles: tuple[Bubble, ...]
    chats: ConversationPage


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatsView:
    chats: ConversationPage


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageView:
    """One message by itself; `announce` tells screen readers that it is complete."""

    bubble: Bubble
    announce: bool = False


async def chat_view(page: Page, found: ConversationDetail | None = None) -> ChatView:
    runs, owner = page.parts.runs, page.caller.name
    messages = found.messages if found else ()
    return ChatView(
        conversation=found.conversation if found else None,
        bubbles=tuple(bubble(message, runs.get(message.id, owner)) for message in messages),
        chats=await recent(page),
    )


async def recent(page: Page, before: str | None = None) -> ConversationPage:
    return await page.parts.conversations.list(page.caller.name, limit=RECENT_CHATS, before=before)


async def message_of(page: Page, conversation_id: str, message_id: str) -> ConversationMessage:
    """The message; raises NotFound when the conversation is not the reader's or has no such one."""
    found = await page.parts.conversations.get(conversation_id, page.caller.name)
    for message in found.messages:
        if message.id == message_id:
            return message
    raise NotFound("This message does not exist.")
