"""What OpenAI's two answers have in common: head, usage, and chunks that are prepared once.

A token costs one encoded string: the JSON around it is made when the answer begins.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import Any, ClassVar

from pydantic_core import to_json

from appliance.api.streams import data
from appliance.api.whole import WholeAnswer, WholeChoice
from appliance.domain import (
    ChoiceFinished,
    Event,
    Finished,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
)

DONE = b"data: [DONE]\n\n"
_PLACE = "\x00place\x00"
_QUOTED_PLACE = to_json(_PLACE)
Fields = dict[str, Any]
Around = tuple[bytes, ...]


def usage_field(usage: Usage) -> Fields:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


class OpenAIWire(ABC):
    """One answer, streamed (an `Encoder`) or whole."""

    prefix: ClassVar[str]
    kind: ClassVar[str]
    chunk_kind: ClassVar[str]

    def __init__(
        self, answer_id: str, model: str, *, choices: int = 1, include_usage: bool = False
    ) -> None:
        self._head: Fields = {
            "id": f"{self.prefix}-{answer_id}",
            "created": int(time.time()),
            "model": model,
        }
        self._choices = choices
        self._include_usage = include_usage
        self._text: dict[int, Around] = {}
        self._reasoning: dict[int, Around] = {}

    def encode(self, event: Event) -> bytes:
        match event:
            case TextDelta(text, choice, ()):
                if (around := self._text.get(choice)) is None:
                    around = self._text[choice] = self._around(TextDelta(_PLACE, choice))
                return to_json(text).join(around)
            case ReasoningDelta(text, choice):
                if (around := self._reasoning.get(choice)) is None:
                    around = self._reasoning[choice] = self._around(ReasoningDelta(_PLACE, choice))
                return to_json(text).join(around)
            case TextDelta() | ToolCallDelta():
                return self._chunk(self.delta(event))
            case ChoiceFinished(finish_reason, choice):
                return self._chunk(self.last(choice, finish_reason))
            case Finished(_, usage):
                return (self._usage(usage) if self._include_usage else b"") + DONE
            case _:
                return b""

    def whole(self, answer: WholeAnswer) -> Fields:
        choices = [self.whole_choice(i, choice) for i, choice in enumerate(answer.choices)]
        body = {**self._head, "object": self.kind, "choices": choices}
        return body | {"usage": usage_field(answer.finished.usage)}

    @abstractmethod
    def start(self) -> bytes:
        """What opens a stream, before the first token."""

    @abstractmethod
    def delta(self, event: TextDelta | ReasoningDelta | ToolCallDelta) -> Fields:
        """A choice with what is new in it."""

    @abstractmethod
    def last(self, index: int, finish_reason: str) -> Fields:
        """A choice that says why nothing follows for it."""

    @abstractmethod
    def whole_choice(self, index: int, choice: WholeChoice) -> Fields: ...

    def _around(self, event: TextDelta | ReasoningDelta) -> Around:
        """A chunk around the holes that a text fills."""
        return tuple(self._chunk(self.delta(event)).split(_QUOTED_PLACE))

    def _chunk(self, choice: Fields) -> bytes:
        return data({**self._head, "object": self.chunk_kind, "choices": [choice]})

    def _usage(self, usage: Usage) -> bytes:
        body = {**self._head, "object": self.chunk_kind, "choices": []}
        return data(body | {"usage": usage_field(usage)})
