"""A conversation as the page shows it, and as the model reads it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

from appliance.domain import Message, Phrase
from appliance.errors import ContextExceeded
from appliance.ledger.tables_assistants import Attachment
from appliance.ledger.tables_chat import ConversationMessage, MessageStatus
from appliance.ledger.tables_feedback import Feedback
from appliance.web import markdown
from appliance.web.attachments import with_files
from appliance.web.chat_files import Files
from appliance.web.chat_store import ChatStore
from appliance.web.chat_tree import ALONE, Place
from appliance.web.run import Keep, Run, State

TITLE_LENGTH = 60
CUT_CODE = "length"
INTERRUPTED = Phrase("The appliance was stopped while this answer was being written.")
CUT_OFF = Phrase("The answer reached the most tokens allowed and ends here.")
_STATUS: dict[State, MessageStatus] = {
    "waiting": "streaming",
    "running": "streaming",
    "done": "done",
    "stopped": "stopped",
    "failed": "failed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bubble:
    """One message on the page. `html` is the rendered text of an answer, None for a question.

    `may_continue`: it was stopped or cut before its end. `rate` is in tokens a second. `opinion` is
    the reader's own.
    """

    id: str
    conversation_id: str
    role: str
    text: str
    html: Markup | None
    reasoning: str
    status: str
    problem: Phrase | None
    too_long: bool
    may_continue: bool
    request_id: str | None
    created_at: datetime
    place: Place
    thinking_ms: float | None
    tokens: int | None
    rate: float | None
    files: tuple[Attachment, ...]
    opinion: Feedback | None


def bubble(
    message: ConversationMessage,
    run: Run | None = None,
    place: Place = ALONE,
    files: tuple[Attachment, ...] = (),
    opinion: Feedback | None = None,
) -> Bubble:
    """The message, with what `run` has said since it was last written down."""
    text, reasoning, status, error = _newest(message, run)
    problem, code = _read_problem(error)
    cut = status == "stopped" or (status == "done" and code == CUT_CODE)
    return Bubble(
        id=message.id,
        conversation_id=message.conversation_id,
        role=message.role,
        text=text,
        html=markdown.render(text) if message.role == "assistant" else None,
        reasoning=reasoning,
        status=status,
        problem=problem,
        too_long=code == ContextExceeded.code,
        may_continue=bool(text) and cut,
        request_id=message.request_id,
        created_at=message.created_at,
        place=place,
        thinking_ms=message.thinking_ms,
        tokens=message.completion_tokens,
        rate=message.tokens_per_second,
        files=files,
        opinion=opinion,
    )


def for_model(messages: Sequence[ConversationMessage], files: Files) -> tuple[Message, ...]:
    """The whole conversation as a prompt; answers that never began are left out."""
    return tuple(
        Message("user", with_files(message.content, files.get(message.id, ())))
        if message.role == "user"
        else Message("assistant", message.content)
        for message in messages
        if message.content
    )


def title_of(prompt: str) -> str:
    """The first words of a question, cut between words where there are any."""
    line = " ".join(prompt.split())
    if len(line) <= TITLE_LENGTH:
        return line
    cut = line[:TITLE_LENGTH]
    words = cut.rpartition(" ")[0]
    return (words if len(words) > TITLE_LENGTH // 2 else cut) + "…"


def keeper(
    store: ChatStore,
    message: ConversationMessage,
    owner: str,
    then: Callable[[Run], Awaitable[None]] | None = None,
) -> Keep:
    """Writes a run down as the message it answers with; `then` is called when it is done."""
    tokens_before = message.completion_tokens or 0

    async def keep(run: Run) -> None:
        usage = run.finished.usage if run.finished else None
        seconds = run.thinking_seconds
        await store.update_message(
            message.id,
            owner,
            content=run.text,
            reasoning=run.reasoning,
            status=_STATUS[run.state],
            error=_problem(run),
            thinking_ms=None if seconds is None else seconds * 1000,
            completion_tokens=tokens_before + usage.completion_tokens if usage else None,
            # What was thought is not read again with the next question.
            context_tokens=usage.total_tokens - usage.reasoning_tokens if usage else None,
            tokens_per_second=run.rate,
        )
        if then is not None and run.state == "done":
            await then(run)

    return keep


def _newest(
    message: ConversationMessage, run: Run | None
) -> tuple[str, str, MessageStatus | str, str]:
    if run is None:
        return message.content, message.reasoning or "", message.status, message.error or ""
    return run.text, run.reasoning, _STATUS[run.state], _problem(run)


def _problem(run: Run) -> str:
    """A failure, or a note on the end, in a form that can be translated when it is read again."""
    if run.failure is not None:
        return _written(run.failure.phrase, run.failure.code)
    if run.finished is not None and run.finished.finish_reason == "length":
        return _written(CUT_OFF, CUT_CODE)
    return ""


def _written(phrase: Phrase, code: str) -> str:
    values = {name: str(value) for name, value in phrase.values.items()}
    return json.dumps({"code": code, "template": phrase.template, "values": values})


def _read_problem(text: str) -> tuple[Phrase | None, str]:
    """The phrase and the code of what went wrong, if anything did."""
    if not text:
        return None, ""
    try:
        found = json.loads(text)
        template, values, code = found["template"], found["values"], found["code"]
    except (ValueError, KeyError, TypeError):
        # The ledger marks what a crash left open with a plain word.
        return INTERRUPTED, ""
    return Phrase(template, values), str(code)
