"""A conversation as the page shows it, and as the model reads it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

from appliance.domain import Message, Phrase
from appliance.errors import ContextExceeded
from appliance.ledger.conversations import Conversations
from appliance.ledger.tables_chat import ConversationMessage, MessageStatus
from appliance.web import markdown
from appliance.web.run import Keep, Run, State

TITLE_LENGTH = 60
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
    """One message on the page. `html` is the rendered text of an answer, None for a question."""

    id: str
    conversation_id: str
    role: str
    text: str
    html: Markup | None
    reasoning: str
    status: str
    problem: Phrase | None
    too_long: bool
    request_id: str | None
    created_at: datetime


def bubble(message: ConversationMessage, run: Run | None = None) -> Bubble:
    """The message, with what `run` has said since it was last written down."""
    text, reasoning, status, error = _newest(message, run)
    problem, too_long = _read_problem(error)
    return Bubble(
        id=message.id,
        conversation_id=message.conversation_id,
        role=message.role,
        text=text,
        html=markdown.render(text) if message.role == "assistant" else None,
        reasoning=reasoning,
        status=status,
        problem=problem,
        too_long=too_long,
        request_id=message.request_id,
        created_at=message.created_at,
    )


def for_model(messages: Sequence[ConversationMessage]) -> tuple[Message, ...]:
    """The whole conversation as a prompt; answers that never began are left out."""
    return tuple(
        Message("user" if message.role == "user" else "assistant", message.content)
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


def keeper(conversations: Conversations, message_id: str, owner: str) -> Keep:
    """Writes a run down as the message it answers with."""

    async def keep(run: Run) -> None:
        await conversations.update_message(
            message_id,
            owner,
            content=run.text,
            reasoning=run.reasoning,
            status=_STATUS[run.state],
            error=_problem(run),
        )

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
        return _written(CUT_OFF, "length")
    return ""


def _written(phrase: Phrase, code: str) -> str:
    values = {name: str(value) for name, value in phrase.values.items()}
    return json.dumps({"code": code, "template": phrase.template, "values": values})


def _read_problem(text: str) -> tuple[Phrase | None, bool]:
    """The phrase, and whether the conversation has outgrown the model's context."""
    if not text:
        return None, False
    try:
        found = json.loads(text)
        template, values, code = found["template"], found["values"], found["code"]
    except (ValueError, KeyError, TypeError):
        # The ledger marks what a crash left open with a plain word.
        return INTERRUPTED, False
    return Phrase(template, values), code == ContextExceeded.code
