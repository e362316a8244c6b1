"""Talks of visitors with an assistant: in memory, each known only by its unguessable name.

The record of what was asked and answered is the ledger's; here is only what the page shows.
"""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from appliance.domain import Message
from appliance.errors import InvalidRequest, NotFound
from appliance.web.faq import Entry
from appliance.web.run import Run

MOST_TALKS = 1000
MOST_TURNS = 100
IDLE_SECONDS = 12 * 3600
REMEMBERED_TURNS = 6


@dataclass(slots=True)
class Turn:
    """A question with its answer: from a run, or `said` where nothing was known."""

    id: str
    question: str
    sources: tuple[Entry, ...] = ()
    run: Run | None = None
    said: str = ""

    @property
    def answer(self) -> str:
        return self.run.text if self.run is not None else self.said


@dataclass(slots=True)
class Talk:
    """One visitor's talk. `key` is the name of the caller that may go on with it."""

    id: str
    assistant: str
    key: str
    turns: list[Turn] = field(default_factory=list)
    used: float = field(default_factory=time.monotonic)

    @property
    def busy(self) -> bool:
        return bool(self.turns) and self.turns[-1].run is not None and not self.turns[-1].run.over

    def check_ready(self) -> None:
        """Raises InvalidRequest while an answer is being written, or when there are too many."""
        if self.busy:
            raise InvalidRequest("Please wait for the answer, then ask on.")
        if len(self.turns) >= MOST_TURNS:
            raise InvalidRequest("This talk has grown long. Please begin a new one.")

    def messages(self) -> list[Message]:
        """The last turns as the model reads them."""
        said = [turn for turn in self.turns[-REMEMBERED_TURNS:] if turn.answer]
        return [
            message
            for turn in said
            for message in (Message("user", turn.question), Message("assistant", turn.answer))
        ]

    def turn(self, turn_id: str) -> Turn:
        """Raises NotFound."""
        for turn in self.turns:
            if turn.id == turn_id:
                return turn
        raise NotFound("This message does not exist.")


class Talks:
    """All talks; the longest unused are forgotten first. Belongs to one event loop."""

    def __init__(self) -> None:
        self._talks: OrderedDict[str, Talk] = OrderedDict()

    def begin(self, assistant: str, key: str) -> Talk:
        self._forget()
        talk = Talk(secrets.token_urlsafe(16), assistant, key)
        self._talks[talk.id] = talk
        return talk

    def get(self, talk_id: str, assistant: str, key: str) -> Talk:
        """Raises NotFound for one that was forgotten, or is another assistant's or key's."""
        self._forget()
        talk = self._talks.get(talk_id)
        if talk is None or (talk.assistant, talk.key) != (assistant, key):
            raise NotFound("This talk has ended. Please begin a new one.")
        talk.used = time.monotonic()
        self._talks.move_to_end(talk_id)
        return talk

    def _forget(self) -> None:
        old = time.monotonic() - IDLE_SECONDS
        while self._talks:
            first = next(iter(self._talks.values()))
            if len(self._talks) < MOST_TALKS and first.used > old:
                return
            del self._talks[first.id]
