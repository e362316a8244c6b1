"""The chat page: ask, watch the answer grow, stop it, ask again; conversations stay.

An answer's message id is also its run's id. The run goes on when the page is closed, and whoever
opens the conversation again follows it from its beginning.
"""

from __future__ import annotations

import contextlib
from typing import Annotated

from fastapi import APIRouter, Form, Response
from fastapi.responses import PlainTextResponse

from appliance.errors import InvalidRequest
from appliance.ledger.tables_chat import ConversationMessage
from appliance.web.chat_asking import at_rest, check_prompt, put_question, start_answer
from appliance.web.chat_messages import bubble, title_of
from appliance.web.chat_views import (
    CHAT,
    CHATS,
    MESSAGE,
    ChatsView,
    ChatView,
    MessageView,
    chat_view,
    message_of,
    recent,
)
from appliance.web.page import Page, PageDep, PageRoute
from appliance.web.streaming import stream

MAX_PROMPT_CHARACTERS = 400_000
router = APIRouter(route_class=PageRoute)
Prompt = Annotated[str, Form(max_length=MAX_PROMPT_CHARACTERS)]
Thinking = Annotated[bool, Form()]


@router.get("/")
async def blank(page: PageDep) -> Response:
    """A new chat."""
    return page.render(CHAT, await chat_view(page))


@router.get("/chat/{conversation_id}")
async def opened(page: PageDep, conversation_id: str) -> Response:
    found = await page.parts.conversations.get(conversation_id, page.caller.name)
    return page.render(CHAT, await chat_view(page, found))


@router.get("/chats")
async def chats(page: PageDep, before: str | None = None) -> Response:
    """All chats, last used first."""
    return page.render(CHATS, ChatsView(chats=await recent(page, before)))


@router.post("/chat")
async def begin(page: PageDep, prompt: Prompt = "", thinking: Thinking = False) -> Response:
    """The first question makes the conversation."""
    check_prompt(prompt)
    conversations, owner = page.parts.conversations, page.caller.name
    made = await conversations.create(owner, title=title_of(prompt))
    await put_question(page, await conversations.get(made.id, owner), prompt, thinking)
    place = f"/chat/{made.id}"
    if not page.wants_fragment:
        return page.redirect(place)
    view = await chat_view(page, await conversations.get(made.id, owner))
    response = page.render(CHAT, view, block="chat_and_list")
    response.headers["HX-Push-Url"] = place
    return response


@router.post("/chat/{conversation_id}")
async def ask(
    page: PageDep, conversation_id: str, prompt: Prompt = "", thinking: Thinking = False
) -> Response:
    check_prompt(prompt)
    conversation = await at_rest(page, conversation_id)
    question, answer = await put_question(page, conversation, prompt, thinking)
    if not page.wants_fragment:
        return page.redirect(f"/chat/{conversation_id}#{answer.id}")
    view = ChatView(
        conversation=conversation.conversation,
        bubbles=(bubble(question), bubble(answer)),
        chats=await recent(page),
    )
    return page.render(CHAT, view, block="turns_and_list")


@router.post("/chat/{conversation_id}/stop")
async def stop(page: PageDep, conversation_id: str) -> Response:
    """Stops whatever is being written in this conversation; what was said stays."""
    found = await page.parts.conversations.get(conversation_id, page.caller.name)
    for message in found.messages:
        if run := page.parts.runs.get(message.id, page.caller.name):
            run.stop()
            await run.ended()
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

    async def finished() -> str:
        message = await message_of(page, conversation_id, message_id)
        return page.html(MESSAGE, _message_view(page, message, announce=True))

    return stream(page, page.parts.runs.get(message_id, page.caller.name), finished)


@router.get("/chat/{conversation_id}/messages/{message_id}/text")
async def text(page: PageDep, conversation_id: str, message_id: str) -> Response:
    """The message as it was written, for copying."""
    message = await message_of(page, conversation_id, message_id)
    return PlainTextResponse(message.content, headers={"Cache-Control": "no-store"})


@router.post("/chat/{conversation_id}/messages/{message_id}/retry")
async def retry(
    page: PageDep, conversation_id: str, message_id: str, thinking: Thinking = False
) -> Response:
    """Asks the last question again; the new answer takes the old one's place."""
    found = await at_rest(page, conversation_id)
    last = found.messages[-1]
    if last.id != message_id or last.role != "assistant":
        raise InvalidRequest("Only the last answer of a conversation can be asked for again.")
    await page.parts.conversations.update_message(
        message_id,
        page.caller.name,
        content="",
        reasoning="",
        status="streaming",
        error="",
        request_id=page.request_id,
    )
    start_answer(page, message_id, found.messages[:-1], thinking)
    if not page.wants_fragment:
        return page.redirect(f"/chat/{conversation_id}#{message_id}")
    message = await message_of(page, conversation_id, message_id)
    return page.render(MESSAGE, _message_view(page, message))


@router.post("/chat/{conversation_id}/rename")
async def rename(page: PageDep, conversation_id: str, title: Annotated[str, Form()]) -> Response:
    if not title.strip():
        raise InvalidRequest("A chat needs a name. Write at least one character.", param="title")
    await page.parts.conversations.rename(conversation_id, page.caller.name, title)
    return page.redirect(f"/chat/{conversation_id}")


@router.post("/chat/{conversation_id}/delete")
async def delete(page: PageDep, conversation_id: str) -> Response:
    await stop(page, conversation_id)
    await page.parts.conversations.delete(conversation_id, page.caller.name)
    return page.redirect("/")


def _message_view(
    page: Page, message: ConversationMessage, *, announce: bool = False
) -> MessageView:
    run = page.parts.runs.get(message.id, page.caller.name)
    return MessageView(bubble=bubble(message, run), announce=announce)


def _done(page: Page, path: str) -> Response:
    """Nothing to swap: the stream brings what has changed."""
    return Response(status_code=204) if page.wants_fragment else page.redirect(path)
