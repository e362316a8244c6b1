"""A finished answer put together from its events, for callers that do not stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

from pydantic_core import from_json

from appliance.domain import (
    Admitted,
    ChoiceFinished,
    Event,
    Finished,
    FinishReason,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    ToolCall,
    ToolCallDelta,
)
from appliance.errors import EngineFailed


@dataclass(slots=True)
class _GrowingCall:
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)

    def take(self, piece: ToolCallDelta) -> None:
        self.id = self.id or piece.id or ""
        self.name = self.name or piece.name or ""
        self.arguments.append(piece.arguments)


@dataclass(slots=True)
class WholeChoice:
    """One of the answers to a question."""

    _text: list[str] = field(default_factory=list)
    _reasoning: list[str] = field(default_factory=list)
    _calls: dict[int, _GrowingCall] = field(default_factory=dict)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finish_reason: FinishReason = "stop"

    @property
    def text(self) -> str:
        return "".join(self._text)

    @property
    def reasoning(self) -> str:
        return "".join(self._reasoning)

    @property
    def tool_calls(self) -> list[ToolCall]:
        """In order. A call that broke off is none: its words follow as text (see the worker)."""
        grown = [self._calls[index] for index in sorted(self._calls)]
        calls = [ToolCall(call.id, call.name, "".join(call.arguments)) for call in grown]
        return [call for call in calls if not _broken(call, self.text)]

    def take(self, event: TextDelta | ReasoningDelta | ToolCallDelta | ChoiceFinished) -> None:
        match event:
            case TextDelta():
                self._text.append(event.text)
                self.logprobs.extend(event.logprobs)
            case ReasoningDelta():
                self._reasoning.append(event.text)
            case ToolCallDelta():
                self._calls.setdefault(event.index, _GrowingCall()).take(event)
            case ChoiceFinished():
                self.finish_reason = event.finish_reason


def _broken(call: ToolCall, text: str) -> bool:
    """Whether the text says again what was begun as a call and never became one."""
    try:
        from_json(call.arguments)
    except ValueError:
        return bool(call.arguments) and call.arguments in text
    return False


@dataclass(frozen=True, slots=True)
class WholeAnswer:
    """`choices` by their index; there is at least one."""

    admitted: Admitted
    choices: list[WholeChoice]
    finished: Finished


async def whole(events: AsyncGenerator[Event, None], choices: int = 1) -> WholeAnswer:
    """Collect an answer; closing (by cancellation too) reaches the engine."""
    found = [WholeChoice() for _ in range(choices)]
    admitted: Admitted | None = None
    finished: Finished | None = None
    async with aclosing(events):
        async for event in events:
            match event:
                case Admitted():
                    admitted = event
                case Finished():
                    finished = event
                case _:
                    found[event.choice].take(event)
    if admitted is None or finished is None:
        raise EngineFailed("The engine ended the answer without saying why. Please ask again.")
    return WholeAnswer(admitted, found, finished)
