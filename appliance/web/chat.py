"""The chat page: ask and read; conversations stay."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Query, Response
from fastapi.responses import PlainTextResponse

from appliance.ledger.views import ConversationDetail
from appliance.web import presets
from appliance.web.chat_asking import at_rest, check_prompt, put_question
from appliance.web.chat_files import files_of
from appliance.web.chat_found import conversation_of, message_in, message_of
from appliance.web.chat_list import chat_list
from appliance.web.chat_messages import bubble, title_of
from appliance.web.chat_settings import Tuning, TuningDep
from appliance.web.chat_tree import branch
from appliance.web.chat_views import (
    CHAT,
    Begun,
    ChatView,
    chat_view,
    context_use,
    earlier_view,
)
from appliance.web.page import ASKING, PageDep
from appliance.web.page_route import PageRoute

MAX_PROMPT_CHARACTERS = 400_000
router = APIRouter(route_class=PageRoute, dependencies=ASKING)
Prompt = Annotated[str, Form(max_length=MAX_PROMPT_CHARACTERS)]
Flag = Annotated[bool, Form()]
Files = Annotated[tuple[str, ...], Form()]


@router.get("/")
async def blank(
    page: PageDep,
    assistant: str = "",
    temporary: bool = False,
    prompt: str = "",
    attachment: Annotated[tuple[str, ...], Query()] = (),
) -> Response:
    """A new chat, perhaps with an assistant. A temporary one is never written down."""
    begun = Begun(prompt, attachment, assistant, temporary)
    return page.render(CHAT, await chat_view(page, begun=begun))


@router.get("/chat/{conversation_id}")
async def opened(
    page: PageDep,
    conversation_id: str,
    before: str | None = None,
    prompt: str = "",
    attachment: Annotated[tuple[str, ...], Query()] = (),
) -> Response:
    """The chat; for htmx, with `before`, only the messages that come before that one."""
    found = await conversation_of(page, conversation_id)
    if before is not None and page.wants_fragment:
        return page.render(CHAT, await earlier_view(page, found, before), block="turns")
    view = await chat_view(page, found, before=before, begun=Begun(prompt, attachment))
    return page.render(CHAT, view)


@router.post("/chat")
async def begin(
    page: PageDep,
    tuning: TuningDep,
    prompt: Prompt = "",
    thinking: Flag = False,
    temporary: Flag = False,
    assistant: Annotated[str, Form()] = "",
    attachment: Files = (),
) -> Response:
    """The first question makes the conversation."""
    check_prompt(prompt)
    store, owner = page.parts.chats.new(temporary=temporary), page.caller.name
    made = await store.create(
        owner,
        title=page.gettext("Temporary chat") if temporary else title_of(prompt),
        title_by="person" if temporary else "prompt",
        system_prompt=tuning.system_prompt,
        sampling=dict(tuning.sampling),
        thinking=thinking,
        thinking_budget=tuning.thinking_budget,
        assistant=(await presets.found(page, assistant)).id if assistant else None,
    )
    begun = await store.get(made.id, owner)
    await put_question(page, begun, prompt, None, files=attachment)
    place = f"/chat/{made.id}"
    if not page.wants_fragment:
        return page.redirect(place)
    view = await chat_view(page, await store.get(made.id, owner))
    response = page.render(CHAT, view, block="chat_and_list")
    response.headers["HX-Push-Url"] = place
    return response


@router.post("/chat/{conversation_id}")
async def ask(
    page: PageDep,
    conversation_id: str,
    prompt: Prompt = "",
    thinking: Flag = False,
    parent: Annotated[str, Form()] = "",
    attachment: Files = (),
) -> Response:
    """Asks after the message `parent`, the last one that the reader sees."""
    check_prompt(prompt)
    found = await at_rest(page, conversation_id)
    await page.parts.chats.of(conversation_id).change(
        conversation_id, page.caller.name, thinking=thinking
    )
    found.conversation.thinking = thinking
    question, answer = await put_question(
        page, found, prompt, _parent(found, parent), files=attachment
    )
    if not page.wants_fragment:
        return page.redirect(f"/chat/{conversation_id}#{answer.id}")
    files = await files_of(page, (question,))
    view = ChatView(
        conversation=found.conversation,
        temporary=page.parts.chats.is_temporary(conversation_id),
        bubbles=(bubble(question, files=files.get(question.id, ())), bubble(answer)),
        earlier=None,
        leaf=answer.id,
        chats=await chat_list(page),
        tuning=Tuning.of(found.conversation),
        context=context_use(page, found.messages),
    )
    return page.render(CHAT, view, block="turns_and_list")


@router.get("/chat/{conversation_id}/messages/{message_id}/text")
async def text(page: PageDep, conversation_id: str, message_id: str) -> Response:
    """The message as it was written, for copying."""
    message = await message_of(page, conversation_id, message_id)
    return PlainTextResponse(message.content, headers={"Cache-Control": "no-store"})


def _parent(found: ConversationDetail, wished: str) -> str | None:
    """The message to ask after: what the form says, or the end of the branch that is shown."""
    if wished:
        return message_in(found, wished).id
    shown = branch(found.messages, found.conversation.current_id)
    return shown[-1].id if shown else None
