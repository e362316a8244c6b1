"""Other ways a chat could go: a question in other words, another answer, an answer that goes on.

Nothing is lost by it: what was there stays as a branch of its own, one click away.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Response

from appliance.errors import InvalidRequest
from appliance.ledger.tables_chat import ConversationMessage
from appliance.ledger.views import ConversationDetail
from appliance.web.chat_asking import again, at_rest, check_prompt, go_on, put_answer, put_question
from appliance.web.chat_found import message_in
from appliance.web.chat_messages import bubble
from appliance.web.chat_tree import branch, newest_below
from appliance.web.chat_views import CHAT, chat_view
from appliance.web.page import ASKING, Page, PageDep
from appliance.web.page_route import PageRoute

MAX_PROMPT_CHARACTERS = 400_000
MESSAGE = "/chat/{conversation_id}/messages/{message_id}"
router = APIRouter(route_class=PageRoute, dependencies=ASKING)


@router.post(MESSAGE + "/edit")
async def edit(
    page: PageDep,
    conversation_id: str,
    message_id: str,
    prompt: Annotated[str, Form(max_length=MAX_PROMPT_CHARACTERS)] = "",
) -> Response:
    """Asks a question of before in other words."""
    check_prompt(prompt)
    found, message = await _message(page, conversation_id, message_id, "user")
    question, _ = await put_question(page, found, prompt, message.parent_id, like=message.id)
    return await _chat(page, conversation_id, question.id)


@router.post(MESSAGE + "/retry")
async def retry(page: PageDep, conversation_id: str, message_id: str) -> Response:
    """Another answer to the same question. One that never began is asked for in its own place."""
    found, answer = await _message(page, conversation_id, message_id, "assistant")
    shown = _before(found, answer)
    if answer.content:
        answer = await put_answer(page, found.conversation, shown)
    else:
        await again(page, found.conversation, shown, answer)
    return await _chat(page, conversation_id, answer.id)


@router.post(MESSAGE + "/continue")
async def resume(page: PageDep, conversation_id: str, message_id: str) -> Response:
    """Writes on where an answer was stopped or cut."""
    found, answer = await _message(page, conversation_id, message_id, "assistant")
    if not bubble(answer).may_continue:
        raise InvalidRequest("Only an answer that was stopped or cut can be continued.")
    await go_on(page, found.conversation, _before(found, answer), answer)
    return await _chat(page, conversation_id, answer.id)


@router.post(MESSAGE + "/show")
async def show(page: PageDep, conversation_id: str, message_id: str) -> Response:
    """Turns to the branch of this message, as far as it goes."""
    store, owner = page.parts.chats.of(conversation_id), page.caller.name
    found = await store.get(conversation_id, owner)
    message = message_in(found, message_id)
    last = newest_below(found.messages, message.id)
    await store.change(conversation_id, owner, current_id=last)
    return await _chat(page, conversation_id, message.id)


async def _message(
    page: Page, conversation_id: str, message_id: str, role: str
) -> tuple[ConversationDetail, ConversationMessage]:
    found = await at_rest(page, conversation_id)
    message = message_in(found, message_id)
    if message.role != role:
        raise InvalidRequest(
            "A question can be asked in other words, an answer can be given again. "
            "This message is not of that kind."
        )
    return found, message


def _before(
    found: ConversationDetail, answer: ConversationMessage
) -> tuple[ConversationMessage, ...]:
    """What led to the answer. An imported chat may begin with one that nothing led to."""
    if answer.parent_id is None:
        raise InvalidRequest("This answer stands at the beginning: nothing was asked before it.")
    return branch(found.messages, answer.parent_id)


async def _chat(page: Page, conversation_id: str, message_id: str) -> Response:
    """The chat as it is now, at this message."""
    if not page.wants_fragment:
        return page.redirect(f"/chat/{conversation_id}#{message_id}")
    found = await page.parts.chats.of(conversation_id).get(conversation_id, page.caller.name)
    return page.render(CHAT, await chat_view(page, found), block="chat_and_list")
