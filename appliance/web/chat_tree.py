"""A conversation as a tree: which branch is shown, and what stands beside each message.

Plain functions over messages, oldest first; knows no page and no database.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.ledger.tables_chat import ConversationMessage

Messages = Sequence[ConversationMessage]


@dataclass(frozen=True, slots=True)
class Place:
    """A message among its alternatives: the second of three is `Place(2, 3, first, third)`."""

    number: int = 1
    count: int = 1
    previous_id: str | None = None
    next_id: str | None = None


ALONE = Place()


def branch(messages: Messages, last_id: str | None) -> tuple[ConversationMessage, ...]:
    """From the first message to `last_id`; to the newest one when there is no such message."""
    by_id = {message.id: message for message in messages}
    at = by_id.get(last_id or "", messages[-1] if messages else None)
    found = []
    while at is not None:
        found.append(at)
        at = by_id.get(at.parent_id or "")
    return tuple(reversed(found))


def newest_below(messages: Messages, message_id: str) -> str:
    """The newest end of the branches that lead through this message."""
    inside, newest = {message_id}, message_id
    for message in messages:
        if message.parent_id in inside:
            inside.add(message.id)
            newest = message.id
    return newest


def places(messages: Messages) -> dict[str, Place]:
    """Where each message stands among those that share its parent."""
    beside: dict[str | None, list[str]] = defaultdict(list)
    for message in messages:
        beside[message.parent_id].append(message.id)
    found = {}
    for ids in beside.values():
        for at, message_id in enumerate(ids):
            before = ids[at - 1] if at else None
            after = ids[at + 1] if at + 1 < len(ids) else None
            found[message_id] = Place(at + 1, len(ids), before, after)
    return found
