"""OpenAI's JSON: chunks, whole answers and errors. Knows no HTTP and no engine."""

from __future__ import annotations

import json
import time
import uuid
from abc import ABC, abstractmethod
from typing import Any, ClassVar

from appliance.engine.worker.reasoning import Parts
from appliance.errors import ApplianceError

DONE = b"data: [DONE]\n\n"
_PLACE = "\x00place\x00"
_QUOTED_PLACE = json.dumps(_PLACE).encode()
_ERROR_TYPES = {400: "invalid_request_error", 401: "authentication_error"}


def sse(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def error_body(error: ApplianceError) -> dict[str, Any]:
    """OpenAI's envelope. The numbers of the sentence are fields too, for programs."""
    numbers = {k: v for k, v in error.phrase.values.items() if isinstance(v, int)}
    return {
        "error": {
            "message": str(error),
            "type": _ERROR_TYPES.get(error.status, "server_error"),
            "param": error.param,
            "code": error.code,
            **numbers,
        }
    }


def usage_body(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


class Dialect(ABC):
    """One answer as OpenAI writes it. Chunks are prepared once, so a token costs one string."""

    prefix: ClassVar[str]
    chunk_kind: ClassVar[str]
    whole_kind: ClassVar[str]

    def __init__(self, model: str) -> None:
        self._head: dict[str, Any] = {
            "id": f"{self.prefix}-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": model,
        }
        self._text = self._prepare(Parts("", _PLACE))
        self._reasoning = self._prepare(Parts(_PLACE, ""))

    def delta(self, parts: Parts) -> bytes:
        """The SSE events for what is new; empty when nothing is."""
        return b"".join(
            json.dumps(text).encode().join(around)
            for around, text in ((self._reasoning, parts.reasoning), (self._text, parts.text))
            if text
        )

    def last(self, finish_reason: str, timings: dict[str, float]) -> bytes:
        choice = self.choice(Parts("", ""), finish_reason)
        return sse(self._chunk([choice]) | {"timings": timings})

    def usage(self, usage: dict[str, int]) -> bytes:
        return sse(self._chunk([]) | {"usage": usage})

    def whole(
        self, parts: Parts, finish_reason: str, usage: dict[str, int], timings: dict[str, float]
    ) -> dict[str, Any]:
        choice = self.whole_choice(parts, finish_reason)
        head = {**self._head, "object": self.whole_kind, "choices": [choice]}
        return head | {"usage": usage, "timings": timings}

    @abstractmethod
    def first(self) -> bytes:
        """What opens a stream, before the first token."""

    @abstractmethod
    def choice(self, parts: Parts, finish_reason: str | None) -> dict[str, Any]: ...

    @abstractmethod
    def whole_choice(self, parts: Parts, finish_reason: str) -> dict[str, Any]: ...

    def _chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {**self._head, "object": self.chunk_kind, "choices": choices}

    def _prepare(self, parts: Parts) -> list[bytes]:
        """A chunk around holes; the text that fills them is the only thing to encode later."""
        return sse(self._chunk([self.choice(parts, None)])).split(_QUOTED_PLACE)


class ChatDialect(Dialect):
    prefix = "chatcmpl"
    chunk_kind = "chat.completion.chunk"
    whole_kind = "chat.completion"

    def first(self) -> bytes:
        delta = {"role": "assistant", "content": ""}
        return sse(self._chunk([{"index": 0, "delta": delta, "finish_reason": None}]))

    def choice(self, parts: Parts, finish_reason: str | None) -> dict[str, Any]:
        delta: dict[str, str] = {}
        if parts.reasoning:
            # Both names are in use: vLLM's and DeepSeek's.
            delta |= {"reasoning": parts.reasoning, "reasoning_content": parts.reasoning}
        if parts.text:
            delta["content"] = parts.text
        return {"index": 0, "delta": delta, "finish_reason": finish_reason}

    def whole_choice(self, parts: Parts, finish_reason: str) -> dict[str, Any]:
        message: dict[str, str] = {"role": "assistant", "content": parts.text}
        if parts.reasoning:
            message |= {"reasoning": parts.reasoning, "reasoning_content": parts.reasoning}
        return {"index": 0, "message": message, "finish_reason": finish_reason}


class CompletionDialect(Dialect):
    prefix = "cmpl"
    chunk_kind = whole_kind = "text_completion"

    def first(self) -> bytes:
        return b""

    def choice(self, parts: Parts, finish_reason: str | None) -> dict[str, Any]:
        return {"index": 0, "text": parts.text, "finish_reason": finish_reason}

    def whole_choice(self, parts: Parts, finish_reason: str) -> dict[str, Any]:
        return self.choice(parts, finish_reason)
