"""The model names a chat, in the background, once its first answer is there.

It is a second generation of the answer's own request, marked "title" in the ledger. A name that
a person has given is never changed.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from appliance.domain import GenerationRequest, Message, Sampling
from appliance.errors import NotFound
from appliance.gateway.context import Origin
from appliance.web.chat_messages import TITLE_LENGTH
from appliance.web.page import Page
from appliance.web.run import Run

WISH = (
    "Give this conversation a title of two to six words, in the language of my first message. "
    "Answer with the title alone, without quotation marks."
)
MAX_TITLE_TOKENS = 32
_FRILLS = re.compile(r"^(?:\W*(?:title|标题)\s*[:：])|[*_#`\"“”「」『』《》]+", re.IGNORECASE)


def run_id(conversation_id: str) -> str:
    """The id under which the naming of this chat runs."""
    return f"title-{conversation_id}"


def naming(
    page: Page, conversation_id: str, prompt: tuple[Message, ...]
) -> Callable[[Run], Awaitable[None]]:
    """What to do when the answer to `prompt` is done."""

    async def name(run: Run) -> None:
        if run.text:
            _start(page, conversation_id, (*prompt, Message("assistant", run.text)))

    return name


def give_way(page: Page, conversation_id: str) -> None:
    """The person has asked something: that comes first, and the name is found after it."""
    if run := page.parts.runs.get(run_id(conversation_id), page.caller.name):
        run.stop()


def clean_title(said: str) -> str:
    """The first line that says something, without frills; nothing when there is none."""
    lines = (_FRILLS.sub("", line).strip().rstrip(".。") for line in said.splitlines())
    line = next(filter(None, lines), "")
    return line if len(line) <= TITLE_LENGTH else line[: TITLE_LENGTH - 1] + "…"


def _start(page: Page, conversation_id: str, prompt: tuple[Message, ...]) -> None:
    facts = page.parts.engine.status.facts
    request = GenerationRequest(
        # The conversation as it is, so that the engine need not read it again.
        prompt=(*prompt, Message("user", WISH)),
        sampling=Sampling(max_tokens=MAX_TITLE_TOKENS, temperature=0.3),
        enable_thinking=False if facts is not None and facts.thinking else None,
    )
    page.parts.runs.start(
        run_id(conversation_id),
        request,
        page.caller,
        request_id=page.request_id,
        keep=_keeper(page, conversation_id),
        origin=Origin(dialect="title", conversation_id=conversation_id),
    )


def _keeper(page: Page, conversation_id: str) -> Callable[[Run], Awaitable[None]]:
    store, owner = page.parts.chats.of(conversation_id), page.caller.name

    async def keep(run: Run) -> None:
        if run.state != "done":
            return
        try:
            found = (await store.get(conversation_id, owner)).conversation
        except NotFound:
            return  # deleted meanwhile
        if found.title_by == "prompt":
            title = clean_title(run.text) or found.title
            await store.change(conversation_id, owner, title=title, title_by="model")

    return keep
