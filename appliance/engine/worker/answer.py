"""One answer in the making: tokens in; reasoning, text and calls out, by one path for every reader.

Streaming and non-streaming callers get the same answer because both read it from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from appliance.domain import TokenLogprob
from appliance.engine.worker.backends.base import Scored
from appliance.engine.worker.reasoning import Parts, ReasoningSplitter
from appliance.engine.worker.scores import ScoreTrack
from appliance.engine.worker.text import StopStrings, TextDecoder
from appliance.engine.worker.tools import CallPiece, ToolCallParser


class Answer:
    """Stop strings are looked for in the text only, not in the thinking before it nor in calls."""

    def __init__(
        self,
        decoder: TextDecoder,
        splitter: ReasoningSplitter,
        stop: Sequence[str] = (),
        calls: ToolCallParser | None = None,
        scores: ScoreTrack | None = None,
    ) -> None:
        self._decoder = decoder
        self._splitter = splitter
        self._stops = StopStrings(stop)
        self._scores = scores
        self.calls = calls
        self.reasoning_tokens = 0
        # Something that is no call has been said. Only known when calls are looked for.
        self.said = False

    @property
    def stopped(self) -> bool:
        """No further token can change the answer."""
        return self._stops.met or (self.calls is not None and self.calls.full)

    @property
    def thinking(self) -> bool:
        return self._splitter.thinking

    @property
    def thought(self) -> bool:
        """Thinking is over, the answer has not begun."""
        return self._splitter.thought

    @property
    def answering(self) -> bool:
        return self._splitter.answering

    @property
    def held(self) -> int:
        """Characters of which it is not decided yet what they are."""
        return self._splitter.held + (0 if self.calls is None else self.calls.held)

    def finish_reason(self, reason: str) -> str:
        called = self.calls is not None and self.calls.complete
        return "tool_calls" if called and reason == "stop" else reason

    def feed(self, tokens: Sequence[int], scores: Sequence[Scored] = ()) -> Parts:
        if self._splitter.answering and self._scores is None:
            return self._pass("", self._decoder.feed(tokens))
        if len(tokens) == 1:
            return self._one(tokens[0], scores[0] if scores else None)
        each = scores or (None,) * len(tokens)
        return joined(self._one(token, score) for token, score in zip(tokens, each, strict=True))

    def flush(self) -> Parts:
        """What was held back, at the end of the tokens."""
        raw = self._decoder.flush()
        first = self._splitter.feed(raw)
        last = self._splitter.flush()
        text = first.text + last.text
        pieces: tuple[CallPiece, ...] = ()
        if self.calls is not None:
            (said, pieces), rest = self.calls.feed(text), self.calls.flush()
            text, pieces = said + rest.text, pieces + rest.calls
        shown = self._stops.feed(text)
        shown += self._stops.flush()
        logprobs: tuple[TokenLogprob, ...] = ()
        if self._scores is not None:
            self._scores.grew(len(raw))
            logprobs = self._scores.passed(len(text), 0, len(shown))
        return Parts(first.reasoning + last.reasoning, shown, pieces, logprobs)

    def think(self, text: str) -> Parts:
        """Words put into the model's mouth while it thinks. Half a character before is dropped."""
        self._decoder.flush()
        return self._splitter.feed(text)

    def begin(self) -> None:
        """The answer is written from here on: what was held back belongs to a discarded one."""
        self._decoder.flush()
        self._splitter.answer()
        if self.calls is not None:
            self.calls.restart()
        if self._scores is not None:
            self._scores.restart()

    def _one(self, token: int, score: Scored | None) -> Parts:
        before = self._splitter.thinking
        raw = self._decoder.feed((token,))
        reasoning, text, _, _ = self._splitter.feed(raw)
        if before or self._splitter.thinking:
            self.reasoning_tokens += 1
        if self._scores is not None and score is not None:
            self._scores.generated(token, score, len(raw))
        return self._pass(reasoning, text)

    def _pass(self, reasoning: str, text: str) -> Parts:
        """Text after thinking: calls are taken out, stop strings cut."""
        pieces: tuple[CallPiece, ...] = ()
        if self.calls is not None:
            text, pieces = self.calls.feed(text)
            self.said = self.said or bool(text)
        shown = self._stops.feed(text)
        if self._scores is None:
            return Parts(reasoning, shown, pieces)
        logprobs = self._scores.passed(len(text), self.held, len(shown))
        return Parts(reasoning, shown, pieces, logprobs)


def joined(several: Iterable[Parts]) -> Parts:
    reasoning: list[str] = []
    text: list[str] = []
    calls: list[CallPiece] = []
    logprobs: list[TokenLogprob] = []
    for parts in several:
        reasoning.append(parts.reasoning)
        text.append(parts.text)
        calls += parts.calls
        logprobs += parts.logprobs
    return Parts("".join(reasoning), "".join(text), tuple(calls), tuple(logprobs))
