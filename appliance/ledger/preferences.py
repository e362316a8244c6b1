"""Preference pairs: of several answers to one question, which was liked better.

They come from chats, where an answer was given again or edited: both are messages with the same
parent. A thumb decides; else what a person has edited; else the answer that was kept, the last.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from sqlmodel import Session, col, select

from appliance.ledger.database import Database
from appliance.ledger.filters import Selection
from appliance.ledger.tables_chat import Conversation, ConversationMessage
from appliance.ledger.tables_feedback import Feedback

CHATS_AT_ONCE = 20
LONGEST_CHAIN = 2000


@dataclass(frozen=True, slots=True)
class Pair:
    """`prompt` are the turns up to the question, as OpenAI writes them."""

    prompt: Sequence[dict[str, str]]
    chosen: str
    rejected: str


async def pairs(database: Database, chosen: Selection) -> AsyncIterator[Pair]:
    """All pairs of the chats that the selection's person, key and time allow, newest chat first."""
    before: str | None = None
    while True:
        found, before = await database.read(partial(_some, chosen=chosen, before=before))
        for pair in found:
            yield pair
        if before is None:
            return


def _some(session: Session, chosen: Selection, before: str | None) -> tuple[list[Pair], str | None]:
    query = select(Conversation).where(col(Conversation.deleted_at).is_(None))
    for owner in (chosen.owner, chosen.key):
        if owner is not None:
            query = query.where(Conversation.owner == owner)
    if chosen.since is not None:
        query = query.where(Conversation.updated_at >= chosen.since)
    if chosen.until is not None:
        query = query.where(Conversation.created_at < chosen.until)
    if before is not None:
        query = query.where(Conversation.id < before)
    chats = session.exec(query.order_by(col(Conversation.id).desc()).limit(CHATS_AT_ONCE)).all()
    found = [pair for chat in chats for pair in _of_chat(session, chat)]
    return found, chats[-1].id if len(chats) == CHATS_AT_ONCE else None


def _of_chat(session: Session, chat: Conversation) -> Iterator[Pair]:
    query = select(ConversationMessage).where(ConversationMessage.conversation_id == chat.id)
    messages = session.exec(query.order_by(col(ConversationMessage.id))).all()
    by_id = {message.id: message for message in messages}
    answers = defaultdict[str, list[ConversationMessage]](list)
    for message in messages:
        complete = message.role == "assistant" and message.status == "done" and message.content
        if complete and message.parent_id is not None:
            answers[message.parent_id].append(message)
    ratings = _ratings(session, messages)
    for parent_id, siblings in answers.items():
        if len(siblings) > 1 and parent_id in by_id:
            yield from _ranked(_prompt(chat, by_id, parent_id), siblings, ratings)


def _ranked(
    prompt: Sequence[dict[str, str]],
    siblings: Sequence[ConversationMessage],
    ratings: dict[str, int],
) -> Iterator[Pair]:
    """The best against each of the others that says something else."""

    def worth(message: ConversationMessage) -> tuple[int, bool, str]:
        return ratings.get(message.request_id or "", 0), message.request_id is None, message.id

    *others, best = sorted(siblings, key=worth)
    for other in reversed(others):
        if other.content != best.content:
            yield Pair(prompt, best.content, other.content)


def _prompt(
    chat: Conversation, by_id: dict[str, ConversationMessage], parent_id: str
) -> list[dict[str, str]]:
    turns: list[dict[str, str]] = []
    place: str | None = parent_id
    while place is not None and place in by_id and len(turns) < LONGEST_CHAIN:
        message = by_id[place]
        turns.append({"role": message.role, "content": message.content})
        place = message.parent_id
    first = [{"role": "system", "content": chat.system_prompt}] if chat.system_prompt else []
    return first + turns[::-1]


def _ratings(session: Session, messages: Sequence[ConversationMessage]) -> dict[str, int]:
    ids = [message.request_id for message in messages if message.request_id]
    query = select(Feedback).where(col(Feedback.request_id).in_(ids))
    return {one.request_id: one.rating or 0 for one in session.exec(query)}
