"""OpenAI's JSON: chunks, whole answers and errors. Knows no HTTP and no engine."""

from __future__ import annotations

import json
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from appliance.engine.worker.reasoning import Parts
from appliance.errors import ApplianceError

DONE = b"data: [DONE]\n\n"
PLACE = "\x00place\x00"
_QUOTED_PLACE = json.dumps(PLACE).encode()
_ERROR_TYPES = {400: "invalid_request_error", 401: "authentication_error"}
NOTHING = Parts("", "")


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


@dataclass(frozen=True, slots=True)
class WholeChoice:
    """One finished answer."""

    index: int
    parts: Parts
    finish_reason: str


class Dialect(ABC):
    """One answer as OpenAI writes it. Chunks are prepared once, so a token costs one string."""

    prefix: ClassVar[str]
    chunk_kind: ClassVar[str]
    whole_kind: ClassVar[str]

    def __init__(self, model: str) -> None:
        self.id = f"{self.prefix}-{uuid.uuid4().hex}"
        self._head: dict[str, Any] = {"id": self.id, "created": int(time.time()), "model": model}
        self._texts: dict[int, list[bytes]] = {}
        self._reasonings: dict[int, list[bytes]] = {}

    def delta(self, index: int, parts: Parts) -> bytes:
        """The SSE events for what is new of one choice; empty when nothing is."""
        reasoning, text, calls, logprobs = parts
        out = b""
        if reasoning:
            around = self._reasonings.get(index)
            if around is None:
                around = self._reasonings[index] = self._prepare(index, Parts(PLACE, ""))
            out = json.dumps(reasoning).encode().join(around)
        if logprobs:
            out += self._scored(index, parts)
        elif text:
            around = self._texts.get(index)
            if around is None:
                around = self._texts[index] = self._prepare(index, Parts("", PLACE))
            out += json.dumps(text).encode().join(around)
        return out + self.call_deltas(index, parts) if calls else out

    def last(self, index: int, finish_reason: str, timings: dict[str, float]) -> bytes:
        choice = self.choice(index, NOTHING, finish_reason)
        return sse(self._chunk([choice]) | {"timings": timings})

    def usage(self, usage: dict[str, Any]) -> bytes:
        return sse(self._chunk([]) | {"usage": usage})

    def whole(
        self, choices: Sequence[WholeChoice], usage: dict[str, Any], timings: dict[str, float]
    ) -> dict[str, Any]:
        written = [self.whole_choice(choice) for choice in choices]
        head = {**self._head, "object": self.whole_kind, "choices": written}
        return head | {"usage": usage, "timings": timings}

    @abstractmethod
    def first(self, index: int) -> bytes:
        """What opens the stream of a choice, before its first token."""

    @abstractmethod
    def choice(self, index: int, parts: Parts, finish_reason: str | None) -> dict[str, Any]:
        """One entry of a chunk's `choices`, without calls."""

    @abstractmethod
    def logprobs(self, index: int, parts: Parts) -> dict[str, Any]:
        """What stands under `logprobs`. Asked once for every piece, in order."""

    @abstractmethod
    def whole_choice(self, choice: WholeChoice) -> dict[str, Any]: ...

    def call_deltas(self, index: int, parts: Parts) -> bytes:
        """SSE events for pieces of tool calls, for dialects that have them."""
        return b""

    def _scored(self, index: int, parts: Parts) -> bytes:
        choice = self.choice(index, Parts("", parts.text), None)
        return sse(self._chunk([choice | {"logprobs": self.logprobs(index, parts)}]))

    def _chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {**self._head, "object": self.chunk_kind, "choices": choices}

    def _prepare(self, index: int, parts: Parts) -> list[bytes]:
        return self.around_place(self.choice(index, parts, None))

    def around_place(self, choice: dict[str, Any]) -> list[bytes]:
        """A chunk around holes; the text that fills them is the only thing to encode later."""
        return sse(self._chunk([choice])).split(_QUOTED_PLACE)
