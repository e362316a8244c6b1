"""A question on its way: checked, written down, and its answer set going."""

from __future__ import annotations

from appliance.domain import GenerationRequest, Message, Sampling
from appliance.errors import InvalidRequest
from appliance.ledger.tables_chat import ConversationMessage
from appliance.ledger.views import ConversationDetail
from appliance.web.chat_messages import for_model, keeper
from appliance.web.page import Page

DEMO_ANSWER_TOKENS = 512


async def put_question(
    page: Page, found: ConversationDetail, prompt: str, thinking: bool
) -> tuple[ConversationMessage, ConversationMessage]:
    """Writes down the question and an empty answer, and sets the answer going."""
    conversations, owner = page.parts.conversations, page.caller.name
    place = found.conversation.id
    question = await conversations.add_message(place, owner, role="user", content=prompt.strip())
    answer = await conversations.add_message(
        place,
        owner,
        role="assistant",
        content="",
        status="streaming",
        request_id=page.request_id,
    )
    start_answer(page, answer.id, (*found.messages, question), thinking)
    return question, answer


def start_answer(
    page: Page, answer_id: str, messages: tuple[ConversationMessage, ...], thinking: bool
) -> None:
    facts = page.parts.engine.status.facts
    wish = thinking if facts is not None and facts.thinking else None
    prompt = for_model(messages)
    sampling = Sampling(max_tokens=_limit(page, prompt))
    page.parts.runs.start(
        answer_id,
        GenerationRequest(prompt=prompt, sampling=sampling, enable_thinking=wish),
        page.caller,
        request_id=page.request_id,
        keep=keeper(page.parts.conversations, answer_id, page.caller.name),
    )


def _limit(page: Page, prompt: tuple[Message, ...]) -> int | None:
    """The demo model often finds no end, so its answers get one, where that surely fits."""
    facts = page.parts.engine.status.facts
    if facts is None or not page.frame.demo:
        return None
    characters = sum(len(message.content) for message in prompt)
    return (
        DEMO_ANSWER_TOKENS if characters + 2 * DEMO_ANSWER_TOKENS < facts.context_length else None
    )


async def at_rest(page: Page, conversation_id: str) -> ConversationDetail:
    """The conversation, unless an answer is still being written in it."""
    found = await page.parts.conversations.get(conversation_id, page.caller.name)
    if any(message.status == "streaming" for message in found.messages):
        raise InvalidRequest("An answer is still being written here. Stop it, or wait for its end.")
    return found


def check_prompt(prompt: str) -> None:
    if not prompt.strip():
        raise InvalidRequest("The message is empty. Write what you want to know.", param="prompt")
