"""What the chat's templates are given, and how it is gathered."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.ledger.tables_assistants import Attachment
from appliance.ledger.tables_chat import Conversation, ConversationMessage
from appliance.ledger.views import ConversationDetail
from appliance.web import chat_title, presets
from appliance.web.chat_asking import assistant_of
from appliance.web.chat_files import files_of
from appliance.web.chat_found import message_in
from appliance.web.chat_list import ChatList, chat_list
from appliance.web.chat_messages import Bubble, bubble
from appliance.web.chat_settings import Tuning
from appliance.web.chat_tree import branch, places
from appliance.web.page import Page

CHAT = "chat.html"
MESSAGE = "message.html"
SHOWN_AT_ONCE = 40  # messages


@dataclass(frozen=True, slots=True)
class ContextUse:
    """Tokens of the model's context that a chat has taken so far."""

    used: int
    limit: int

    @property
    def share(self) -> float:
        return min(1.0, self.used / self.limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatView:
    """`conversation` is None for a new chat. `bubbles` are the end of the branch that is shown,
    `earlier` is the first of them when there are more before it, `leaf` the last of all.
    """

    conversation: Conversation | None
    temporary: bool
    bubbles: tuple[Bubble, ...]
    earlier: str | None
    leaf: str | None
    chats: ChatList
    tuning: Tuning
    context: ContextUse | None
    thinking: bool = False
    prompt: str = ""
    attached: tuple[Attachment, ...] = ()
    assistant: presets.Known | None = None
    assistants: tuple[presets.Known, ...] = ()


@dataclass(frozen=True, slots=True)
class Begun:
    """What a form of before has left: words, files, the choice of assistant and of keeping."""

    prompt: str = ""
    files: tuple[str, ...] = ()
    assistant: str = ""
    temporary: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageView:
    """One message that is complete now; `naming`: the model looks for the chat's name, or has
    found one that no page has asked for yet."""

    bubble: Bubble
    announce: bool
    context: ContextUse | None
    naming: bool


NOTHING_BEGUN = Begun()


async def chat_view(
    page: Page,
    found: ConversationDetail | None = None,
    *,
    before: str | None = None,
    begun: Begun = NOTHING_BEGUN,
) -> ChatView:
    """The chat, or an empty one. From `before` on everything is shown, and as much before it."""
    conversation = found.conversation if found else None
    shown = branch(found.messages, found.conversation.current_id) if found else ()
    start = _start(shown, before)
    assistant = await _assistant(page, conversation, begun.assistant)
    return ChatView(
        conversation=conversation,
        temporary=page.parts.chats.is_temporary(conversation.id)
        if conversation
        else begun.temporary,
        bubbles=await _bubbles(page, found, shown[start:]) if found else (),
        earlier=shown[start].id if start else None,
        leaf=shown[-1].id if shown else None,
        chats=await chat_list(page),
        tuning=Tuning.of(conversation),
        context=context_use(page, shown),
        prompt=begun.prompt,
        attached=await page.parts.attachments.drafts(begun.files, page.caller.name),
        # As in this chat so far, else as its assistant likes it.
        thinking=bool(chooser.thinking if (chooser := conversation or assistant) else False),
        assistant=assistant,
        assistants=() if conversation else await presets.listed(page),
    )


async def earlier_view(page: Page, found: ConversationDetail, before: str) -> ChatView:
    """Only the messages that come right before `before`."""
    shown = branch(found.messages, found.conversation.current_id)
    end = _position(shown, before)
    start = max(0, end - SHOWN_AT_ONCE)
    return ChatView(
        conversation=found.conversation,
        temporary=False,
        bubbles=await _bubbles(page, found, shown[start:end]),
        earlier=shown[start].id if start else None,
        leaf=None,
        chats=ChatList(()),
        tuning=Tuning(),
        context=None,
    )


def context_use(page: Page, shown: tuple[ConversationMessage, ...]) -> ContextUse | None:
    """After the newest answer that was counted; None before there is one, and for engines of
    others, which do not say how much they hold."""
    facts = page.parts.engine.status.facts
    counted = (message.context_tokens for message in reversed(shown) if message.context_tokens)
    used = next(counted, None)
    return (
        None
        if facts is None or not facts.context_length or used is None
        else ContextUse(used, facts.context_length)
    )


async def message_view(page: Page, conversation_id: str, message_id: str) -> MessageView:
    """A message that has just ended, with what else on the page has changed by it."""
    found = await page.parts.chats.of(conversation_id).get(conversation_id, page.caller.name)
    message, runs = message_in(found, message_id), page.parts.runs
    return MessageView(
        bubble=(await _bubbles(page, found, (message,)))[0],
        announce=True,
        context=context_use(page, branch(found.messages, message_id)),
        naming=runs.get(chat_title.run_id(conversation_id), page.caller.name) is not None,
    )


async def _assistant(
    page: Page, conversation: Conversation | None, wished: str
) -> presets.Known | None:
    if conversation is not None:
        return await assistant_of(page, conversation)
    return await presets.found(page, wished) if wished else None


async def _bubbles(
    page: Page, found: ConversationDetail, shown: tuple[ConversationMessage, ...]
) -> tuple[Bubble, ...]:
    runs, owner, beside = page.parts.runs, page.caller.name, places(found.messages)
    files = await files_of(page, shown)
    opinions = await page.parts.history.ratings([one.request_id or "" for one in shown], owner)
    return tuple(
        bubble(
            one, runs.get(one.id, owner), beside[one.id], files.get(one.id, ()),
            opinions.get(one.request_id or ""),
        )
        for one in shown
    )  # fmt: skip


def _start(shown: tuple[ConversationMessage, ...], before: str | None) -> int:
    end = len(shown) if before is None else _position(shown, before)
    return max(0, end - SHOWN_AT_ONCE)


def _position(shown: tuple[ConversationMessage, ...], message_id: str) -> int:
    """Where the message stands; at the end when it is not in this branch (any more)."""
    return next((at for at, one in enumerate(shown) if one.id == message_id), len(shown))
