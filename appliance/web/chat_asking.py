"""A question on its way: checked, written down, and its answer set going."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from appliance.domain import GenerationRequest, Message, Sampling
from appliance.errors import InvalidRequest, NotFound
from appliance.gateway.context import Origin
from appliance.ledger.tables_chat import Conversation, ConversationMessage
from appliance.ledger.views import ConversationDetail
from appliance.web import chat_title, presets
from appliance.web.chat_files import files_of, send_with
from appliance.web.chat_messages import for_model, keeper
from appliance.web.chat_settings import Tuning
from appliance.web.chat_tree import branch
from appliance.web.page import Page
from appliance.web.run import Run

DEMO_ANSWER_TOKENS = 512
# For engines that cannot go on within a turn of their own.
GO_ON = (
    "Your last answer was cut off. Continue it exactly where it ends, in the same form. "
    "Do not repeat anything and do not comment."
)
CONTINUES = "continue_final_message"
Shown = tuple[ConversationMessage, ...]
Prompt = tuple[Message, ...]


async def put_question(
    page: Page,
    found: ConversationDetail,
    prompt: str,
    parent_id: str | None,
    *,
    files: Sequence[str] = (),
    like: str | None = None,
) -> tuple[ConversationMessage, ConversationMessage]:
    """Writes down the question after `parent_id` and an empty answer, and sets that going.

    It comes with the drafts named by `files`, and with the files of the question `like`.
    """
    place = found.conversation.id
    store = page.parts.chats.of(place)
    question = await store.add_message(
        place, page.caller.name, role="user", content=prompt.strip(), parent_id=parent_id
    )
    await send_with(page, question, files, like=like)
    shown = (*branch(found.messages, parent_id), question) if parent_id else (question,)
    return question, await put_answer(page, found.conversation, shown)


async def put_answer(page: Page, conversation: Conversation, shown: Shown) -> ConversationMessage:
    """An empty answer to the question that ends `shown`, set going."""
    answer = await page.parts.chats.of(conversation.id).add_message(
        conversation.id,
        page.caller.name,
        role="assistant",
        content="",
        parent_id=shown[-1].id,
        status="streaming",
        request_id=page.request_id,
    )
    await start_answer(page, conversation, shown, answer)
    return answer


async def again(
    page: Page, conversation: Conversation, shown: Shown, answer: ConversationMessage
) -> None:
    """Asks for an answer that never began, in its own place."""
    await page.parts.chats.of(conversation.id).update_message(
        answer.id, page.caller.name, status="streaming", error="", request_id=page.request_id
    )
    await start_answer(page, conversation, shown, answer)


async def go_on(
    page: Page, conversation: Conversation, shown: Shown, answer: ConversationMessage
) -> None:
    """Sets an answer going again where it was stopped or cut."""
    await page.parts.chats.of(conversation.id).update_message(
        answer.id, page.caller.name, status="streaming", error="", request_id=page.request_id
    )
    run = await start_answer(page, conversation, shown, answer, goes_on=True)
    run.text, run.reasoning = answer.content, answer.reasoning or ""


async def start_answer(
    page: Page,
    conversation: Conversation,
    shown: Shown,
    answer: ConversationMessage,
    *,
    goes_on: bool = False,
) -> Run:
    """`shown` are the messages before the answer; with `goes_on` it has a beginning already."""
    chat_title.give_way(page, conversation.id)
    store = page.parts.chats.of(conversation.id)
    prompt = await _prompt(page, conversation, (*shown, answer) if goes_on else shown)
    then = None if goes_on else _afterwards(page, conversation, prompt)
    return page.parts.runs.start(
        answer.id,
        await _request(page, conversation, prompt, goes_on=goes_on),
        page.caller,
        request_id=page.request_id,
        keep=keeper(store, answer, page.caller.name, then),
        origin=Origin(
            dialect="chat",
            conversation_id=conversation.id,
            assistant=conversation.assistant,
            keep_content=not page.parts.chats.is_temporary(conversation.id),
        ),
    )


def _afterwards(
    page: Page, conversation: Conversation, prompt: Prompt
) -> Callable[[Run], Awaitable[None]] | None:
    """The small demo model cannot find a name, and a temporary chat needs none."""
    wanted = page.parts.chat_titles and not page.frame.demo
    if not wanted or conversation.title_by != "prompt":
        return None
    return chat_title.naming(page, conversation.id, prompt)


async def _prompt(page: Page, conversation: Conversation, shown: Shown) -> Prompt:
    """What the model reads: who it is, what it was told for this chat, and the turns."""
    known = await assistant_of(page, conversation)
    told = (known.instructions if known else "", conversation.system_prompt or "")
    system = "\n\n".join(filter(None, told))
    turns = for_model(shown, await files_of(page, shown))
    return (Message("system", system), *turns) if system else turns


async def assistant_of(page: Page, conversation: Conversation) -> presets.Known | None:
    """The assistant of this chat; None also when it was deleted since."""
    if conversation.assistant is None:
        return None
    try:
        return await presets.found(page, conversation.assistant)
    except NotFound:
        return None


async def _request(
    page: Page, conversation: Conversation, prompt: Prompt, *, goes_on: bool
) -> GenerationRequest:
    facts, tuning = page.parts.engine.status.facts, Tuning.of(conversation)
    thinks = facts is not None and facts.thinking
    within = goes_on and facts is not None and CONTINUES in facts.capabilities
    if goes_on and not within:
        prompt = (*prompt, Message("user", GO_ON))
    sampling = tuning.wish()
    if sampling.temperature is None and (known := await assistant_of(page, conversation)):
        sampling = replace(sampling, temperature=known.temperature)
    return GenerationRequest(
        prompt=prompt,
        sampling=_limited(page, sampling, prompt),
        enable_thinking=bool(conversation.thinking) and not goes_on if thinks else None,
        thinking_budget=tuning.thinking_budget if thinks and conversation.thinking else None,
        continue_final_message=within,
    )


def _limited(page: Page, sampling: Sampling, prompt: Prompt) -> Sampling:
    """The demo model often finds no end, so its answers get one, where that surely fits."""
    facts = page.parts.engine.status.facts
    if facts is None or not page.frame.demo or sampling.max_tokens is not None:
        return sampling
    characters = sum(len(message.content) for message in prompt)
    fits = characters + 2 * DEMO_ANSWER_TOKENS < facts.context_length
    return replace(sampling, max_tokens=DEMO_ANSWER_TOKENS) if fits else sampling


async def at_rest(page: Page, conversation_id: str) -> ConversationDetail:
    """The conversation, unless an answer is still being written in it."""
    found = await page.parts.chats.of(conversation_id).get(conversation_id, page.caller.name)
    if any(message.status == "streaming" for message in found.messages):
        raise InvalidRequest("An answer is still being written here. Stop it, or wait for its end.")
    return found


def check_prompt(prompt: str) -> None:
    if not prompt.strip():
        raise InvalidRequest("The message is empty. Write what you want to know.", param="prompt")
