"""Events in OpenAI's words: one builder for chat and one for plain completions."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from appliance.api.streams import WholeAnswer, data
from appliance.domain import Event, Finished, ReasoningDelta, TextDelta, Usage

DONE = b"data: [DONE]\n\n"


def usage_field(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


@dataclass(frozen=True, slots=True)
class ChatWire:
    """`/v1/chat/completions`. Thinking goes under both names that clients look for."""

    id: str
    model: str
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, answer: WholeAnswer) -> dict[str, Any]:
        thinking = {"reasoning": answer.reasoning, "reasoning_content": answer.reasoning}
        message = {"role": "assistant", "content": answer.text} | (
            thinking if answer.reasoning else {}
        )
        choice = {"index": 0, "message": message, "logprobs": None}
        choice["finish_reason"] = answer.finished.finish_reason
        usage = usage_field(answer.finished.usage)
        return self._object("chat.completion", [choice]) | {"usage": usage}

    def start(self) -> dict[str, Any] | None:
        return self._delta({"role": "assistant", "content": ""})

    def delta(self, event: TextDelta | ReasoningDelta) -> dict[str, Any]:
        if isinstance(event, TextDelta):
            return self._delta({"content": event.text})
        return self._delta({"reasoning": event.text, "reasoning_content": event.text})

    def finish(self, reason: str) -> dict[str, Any]:
        return self._delta({}, reason)

    def usage(self, usage: Usage) -> dict[str, Any]:
        return self._object("chat.completion.chunk", []) | {"usage": usage_field(usage)}

    def _delta(self, delta: dict[str, str], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return self._object("chat.completion.chunk", [choice])

    def _object(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        head = {"id": f"chatcmpl-{self.id}", "object": kind, "created": self.created}
        return {**head, "model": self.model, "choices": choices}


@dataclass(frozen=True, slots=True)
class CompletionWire:
    """`/v1/completions`. A raw prompt has no thinking of its own: all of it is text."""

    id: str
    model: str
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, answer: WholeAnswer) -> dict[str, Any]:
        text = answer.reasoning + answer.text
        choice = self._choice(text, answer.finished.finish_reason)
        return self._object([choice]) | {"usage": usage_field(answer.finished.usage)}

    def start(self) -> dict[str, Any] | None:
        return None

    def delta(self, event: TextDelta | ReasoningDelta) -> dict[str, Any]:
        return self._object([self._choice(event.text, None)])

    def finish(self, reason: str) -> dict[str, Any]:
        return self._object([self._choice("", reason)])

    def usage(self, usage: Usage) -> dict[str, Any]:
        return self._object([]) | {"usage": usage_field(usage)}

    def _choice(self, text: str, reason: str | None) -> dict[str, Any]:
        return {"index": 0, "text": text, "logprobs": None, "finish_reason": reason}

    def _object(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        head = {"id": f"cmpl-{self.id}", "object": "text_completion", "created": self.created}
        return {**head, "model": self.model, "choices": choices}


async def chunks(
    wire: ChatWire | CompletionWire, events: AsyncGenerator[Event, None], include_usage: bool
) -> AsyncIterator[bytes]:
    """The SSE events of a streamed answer, `[DONE]` last. `events` is past its `Admitted`."""
    async with aclosing(events):
        if start := wire.start():
            yield data(start)
        async for event in events:
            match event:
                case TextDelta() | ReasoningDelta():
                    yield data(wire.delta(event))
                case Finished(finish_reason, usage):
                    yield data(wire.finish(finish_reason))
                    if include_usage:
                        yield data(wire.usage(usage))
        yield DONE
