"""One streamed answer: bytes in as they come, events out. Knows no HTTP.

Lenient where servers differ without harm (missing usage, null contents, calls in one piece) and
strict where an answer would be wrong or cut: that is an EngineFailed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from pydantic_core import from_json

from appliance.domain import (
    ChoiceFinished,
    Delta,
    FinishReason,
    ReasoningDelta,
    TextDelta,
    Usage,
)
from appliance.engine.wire_calls import CallsReader
from appliance.engine.wire_logprobs import read_logprobs
from appliance.engine.wire_refusal import CALLERS_FAULT, meaning
from appliance.errors import EngineFailed

MAX_LINE_BYTES = 4 * 1024 * 1024
SHOWN_BYTES = 80
_FINISH: dict[str, FinishReason] = {
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}


@dataclass(frozen=True, slots=True)
class Accepted:
    """The engine has taken the work; everything that can be refused has been.

    `engine_id` is the engine's own name for the answer, when it has told one.
    """

    engine_id: str | None = None


@dataclass(frozen=True, slots=True)
class Completed:
    """The engine's last word. `finish_reason` is that of the first choice."""

    finish_reason: FinishReason
    usage: Usage


EngineEvent = Accepted | Delta | ChoiceFinished | Completed


class WireReader:
    """Reads an answer of `choices` choices. `done` once the server has said that it is over."""

    def __init__(self, choices: int = 1) -> None:
        self.done = False
        self._rest = b""
        self._usage = Usage(0, 0)
        self._calls = [CallsReader(index) for index in range(choices)]
        self._finished: dict[int, FinishReason] = {}

    def feed(self, data: bytes) -> Iterator[Delta | ChoiceFinished]:
        """What the next bytes say. Raises EngineFailed for an error and for what is not SSE,
        InvalidRequest where the engine says that the fault is the caller's."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE_BYTES:
            raise nonsense(b"a line without an end")
        for line in lines:
            # Only `data:` matters on this wire; comments are pings.
            if line.startswith(b"data:") and not self.done:
                yield from self._read(line[5:].strip())

    def end(self) -> Completed:
        """The last event, at the end of the bytes. Raises EngineFailed if something is missing."""
        if not self._finished:
            raise EngineFailed("The engine ended the answer without saying why. Please ask again.")
        if len(self._finished) < len(self._calls):
            raise EngineFailed(
                "The engine finished %(finished)s of %(wanted)s choices. Ask for n = 1.",
                finished=len(self._finished),
                wanted=len(self._calls),
            )
        return Completed(self._finished[0], self._usage)

    def _read(self, payload: bytes) -> list[Delta | ChoiceFinished]:
        events: list[Delta | ChoiceFinished] = []
        if payload == b"[DONE]":
            self.done = True
            return events
        try:
            chunk = from_json(payload)
            if error := chunk.get("error"):
                _fail(error)
            if chunk.get("usage"):
                self._usage = _usage(chunk["usage"])
            for choice in chunk.get("choices") or ():
                self._read_choice(choice, events)
        except (ValueError, TypeError, KeyError, AttributeError, IndexError):
            raise nonsense(payload) from None
        return events

    def _read_choice(self, raw: dict[str, Any], events: list[Delta | ChoiceFinished]) -> None:
        index = int(raw.get("index") or 0)
        if not 0 <= index < len(self._calls):
            raise IndexError("a choice that nobody asked for")
        calls = self._calls[index]
        delta = raw.get("delta") or {}
        if reasoning := delta.get("reasoning_content") or delta.get("reasoning"):
            events.append(ReasoningDelta(_text(reasoning), index))
        text = delta.get("content") or raw.get("text") or ""
        logprobs = read_logprobs(raw["logprobs"]) if raw.get("logprobs") else ()
        if text or logprobs:
            events.append(TextDelta(_text(text), index, logprobs))
        events.extend(calls.read(piece) for piece in delta.get("tool_calls") or ())
        if (reason := raw.get("finish_reason")) and index not in self._finished:
            # Some servers say "stop" where the one call that was asked for has been made.
            called: FinishReason = "tool_calls" if calls else "stop"
            self._finished[index] = _FINISH.get(reason, called)
            events.append(ChoiceFinished(self._finished[index], index))


def nonsense(what: bytes) -> EngineFailed:
    return EngineFailed(
        "The engine sent something that is not OpenAI's wire: %(what)s",
        what=what[:SHOWN_BYTES].decode(errors="replace"),
    )


def _fail(error: object) -> NoReturn:
    """vLLM compiles a form after its 200, and says in the stream that it cannot."""
    if isinstance(error, dict) and error.get("code") in CALLERS_FAULT:
        raise meaning(error["code"], error)
    message = error.get("message") if isinstance(error, dict) else error
    raise EngineFailed("The engine failed: %(reason)s", reason=str(message))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _usage(raw: dict[str, Any]) -> Usage:
    prompt = raw.get("prompt_tokens_details") or {}
    completion = raw.get("completion_tokens_details") or {}
    return Usage(
        prompt_tokens=int(raw.get("prompt_tokens") or 0),
        completion_tokens=int(raw.get("completion_tokens") or 0),
        cached_tokens=int(prompt.get("cached_tokens") or 0),
        reasoning_tokens=int(completion.get("reasoning_tokens") or 0),
    )
