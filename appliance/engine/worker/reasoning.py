"""Splits what a model thinks (`<think>…</think>`) from what it answers, in a stream."""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple

from appliance.domain import TokenLogprob
from appliance.engine.worker.text import open_end
from appliance.engine.worker.tools import CallPiece

OPEN, CLOSE = "<think>", "</think>"


class Parts(NamedTuple):
    """A piece of an answer. `logprobs` are those of the tokens that `text` was made of."""

    reasoning: str
    text: str
    calls: tuple[CallPiece, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()


class _State(Enum):
    START = auto()  # nothing but white space so far: the answer may begin with thinking
    THINKING = auto()
    AFTER = auto()  # thinking is over; the line breaks before the answer are dropped
    ANSWERING = auto()


class ReasoningSplitter:
    """Thinking is only looked for at the very beginning, as models are trained to write it."""

    def __init__(self, *, enabled: bool, prompt: str = "") -> None:
        """`prompt` is the rendered one: some templates already open the thinking in it."""
        self._held = ""
        self._state = _State.ANSWERING
        if enabled:
            opened = prompt.rstrip().endswith(OPEN)
            self._state = _State.THINKING if opened else _State.START
        self._fresh = self._state is _State.THINKING

    @property
    def answering(self) -> bool:
        """The answer has begun: nothing is looked for any more."""
        return self._state is _State.ANSWERING

    @property
    def thinking(self) -> bool:
        return self._state is _State.THINKING

    @property
    def thought(self) -> bool:
        """Thinking has ended with its mark, and only line breaks have followed."""
        return self._state is _State.AFTER

    @property
    def held(self) -> int:
        """Characters that may still become reasoning or text."""
        return len(self._held)

    def answer(self) -> None:
        """Whatever follows is the answer. What is held is dropped."""
        self._held, self._state = "", _State.ANSWERING

    def feed(self, text: str) -> Parts:
        if self._state is _State.ANSWERING:
            return Parts("", text)
        self._held += text
        reasoning = ""
        if self._state is _State.START:
            self._start()
        if self._state is _State.THINKING:
            reasoning = self._think()
        if self._state is _State.AFTER:
            self._held = self._held.lstrip()
            if self._held:
                self._state = _State.ANSWERING
        return Parts(reasoning, self._release() if self._state is _State.ANSWERING else "")

    def flush(self) -> Parts:
        held = self._release()
        if self._state is _State.THINKING:
            return Parts(held.strip("\n") if self._fresh else held.rstrip("\n"), "")
        return Parts("", "" if self._state is _State.AFTER else held)

    def _start(self) -> None:
        beginning = self._held.lstrip()
        if beginning.startswith(OPEN):
            self._held = beginning[len(OPEN) :]
            self._state, self._fresh = _State.THINKING, True
        elif not OPEN.startswith(beginning):
            self._state = _State.ANSWERING

    def _think(self) -> str:
        """Thinking that is certain; a possible end mark and the line breaks before it wait."""
        if self._fresh:
            self._held = self._held.lstrip("\n")
            self._fresh = not self._held
        end = self._held.find(CLOSE)
        if end >= 0:
            thought = self._held[:end].rstrip("\n")
            self._held, self._state = self._held[end + len(CLOSE) :], _State.AFTER
            return thought
        sure = self._held[: len(self._held) - open_end(self._held, CLOSE)].rstrip("\n")
        self._held = self._held[len(sure) :]
        return sure

    def _release(self) -> str:
        held, self._held = self._held, ""
        return held
