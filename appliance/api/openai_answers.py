"""Events in OpenAI's words: one wire for chats and one for plain completions."""

from __future__ import annotations

from typing import Any

from appliance.api.openai_logprobs import chat_logprobs, completion_logprobs
from appliance.api.openai_wire import Fields, OpenAIWire
from appliance.api.whole import WholeChoice
from appliance.domain import ReasoningDelta, TextDelta, ToolCall, ToolCallDelta


class ChatWire(OpenAIWire):
    """`/v1/chat/completions`. Thinking goes under both names that clients look for."""

    prefix = "chatcmpl"
    kind = "chat.completion"
    chunk_kind = "chat.completion.chunk"

    def start(self) -> bytes:
        opening = {"role": "assistant", "content": ""}
        return b"".join(self._chunk(_delta(i, opening)) for i in range(self._choices))

    def delta(self, event: TextDelta | ReasoningDelta | ToolCallDelta) -> Fields:
        match event:
            case TextDelta():
                logprobs = chat_logprobs(event.logprobs) if event.logprobs else None
                return _delta(event.choice, {"content": event.text}, logprobs)
            case ReasoningDelta():
                return _delta(event.choice, _thinking(event.text))
            case ToolCallDelta():
                return _delta(event.choice, {"tool_calls": [_call_piece(event)]})

    def last(self, index: int, finish_reason: str) -> Fields:
        return _delta(index, {}) | {"finish_reason": finish_reason}

    def whole_choice(self, index: int, choice: WholeChoice) -> Fields:
        message: Fields = {"role": "assistant", "content": choice.text}
        if calls := choice.tool_calls:
            message["content"] = choice.text or None
            message["tool_calls"] = [_call(call) for call in calls]
        if choice.reasoning:
            message |= _thinking(choice.reasoning)
        return {
            "index": index,
            "message": message,
            "logprobs": chat_logprobs(choice.logprobs) if choice.logprobs else None,
            "finish_reason": choice.finish_reason,
        }


class CompletionWire(OpenAIWire):
    """`/v1/completions`. A raw prompt has no thinking of its own: all of it is text."""

    prefix = "cmpl"
    kind = chunk_kind = "text_completion"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._offsets = [0] * self._choices

    def start(self) -> bytes:
        return b""

    def delta(self, event: TextDelta | ReasoningDelta | ToolCallDelta) -> Fields:
        match event:
            case TextDelta(text, choice, logprobs) if logprobs:
                lists = completion_logprobs(logprobs, self._offsets[choice])
                self._offsets[choice] += sum(len(each.text) for each in logprobs)
                return _text(choice, text, lists)
            case TextDelta(text, choice) | ReasoningDelta(text, choice):
                return _text(choice, text)
            case ToolCallDelta():
                raise TypeError("a plain completion has no tools to call")

    def last(self, index: int, finish_reason: str) -> Fields:
        return _text(index, "") | {"finish_reason": finish_reason}

    def whole_choice(self, index: int, choice: WholeChoice) -> Fields:
        logprobs = completion_logprobs(choice.logprobs) if choice.logprobs else None
        whole = _text(index, choice.reasoning + choice.text, logprobs)
        return whole | {"finish_reason": choice.finish_reason}


def _delta(index: int, delta: Fields, logprobs: Fields | None = None) -> Fields:
    return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": None}


def _text(index: int, text: str, logprobs: Fields | None = None) -> Fields:
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": None}


def _thinking(text: str) -> Fields:
    return {"reasoning": text, "reasoning_content": text}


def _call(call: ToolCall) -> Fields:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def _call_piece(piece: ToolCallDelta) -> Fields:
    """The first piece of a call names it; the others only add arguments."""
    if piece.id is None:
        return {"index": piece.index, "function": {"arguments": piece.arguments}}
    function = {"name": piece.name, "arguments": piece.arguments}
    return {"index": piece.index, "id": piece.id, "type": "function", "function": function}
