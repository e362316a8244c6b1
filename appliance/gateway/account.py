"""What the ledger is told of one generation: what was asked, and what came of it."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from appliance.domain import (
    Delta,
    GenerationRequest,
    Message,
    ReasoningDelta,
    TextDelta,
    Timings,
    ToolCall,
    Usage,
)
from appliance.ledger.tables import GenerationRecord

Texts = defaultdict[int, list[str]]


@dataclass(slots=True)
class _Call:
    """A tool call as it grows."""

    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


def _texts() -> Texts:
    return defaultdict(list)


@dataclass(slots=True)
class Account:
    """One generation as it grows, for its row. `started` is on `time.perf_counter`'s clock."""

    choices: int = 1
    started: float = field(default_factory=time.perf_counter)
    queue_ms: float = 0.0
    ttft_ms: float | None = None
    cached_from: str | None = None
    usage: Usage | None = None
    finish_reason: str = "cancelled"
    error: str | None = None
    error_code: str | None = None
    _text: Texts = field(default_factory=_texts)
    _reasoning: Texts = field(default_factory=_texts)
    _calls: dict[tuple[int, int], _Call] = field(default_factory=dict)

    def place(self, queue_ms: float) -> None:
        """Whoever has joined work under way has waited less than the work itself."""
        self.queue_ms = min(queue_ms, self._elapsed_ms())

    def take(self, delta: Delta) -> None:
        if self.ttft_ms is None:
            self.ttft_ms = self._elapsed_ms()
        match delta:
            case TextDelta(text, choice):
                self._text[choice].append(text)
            case ReasoningDelta(text, choice):
                self._reasoning[choice].append(text)
            case _:
                call = self._calls.setdefault((delta.choice, delta.index), _Call())
                call.id, call.name = delta.id or call.id, delta.name or call.name
                call.arguments.append(delta.arguments)

    def timings(self) -> Timings:
        return Timings(self.queue_ms, self.ttft_ms, self._elapsed_ms())

    def output(self) -> str:
        """The answer's text; of several choices a JSON array of their texts."""
        return self._in_one(self._text)

    def reasoning(self) -> str:
        return self._in_one(self._reasoning) if self._reasoning else ""

    def tool_calls(self) -> list[dict[str, Any]]:
        """Each call; with its choice where there are several choices."""
        found = []
        for (choice, _), call in sorted(self._calls.items()):
            row: dict[str, Any] = {"choice": choice} if self.choices > 1 else {}
            row |= {"id": call.id, "name": call.name, "arguments": "".join(call.arguments)}
            found.append(row)
        return found

    def output_bytes(self) -> int:
        """UTF-8 bytes of answer, thinking and calls."""
        said = [*self._text.values(), *self._reasoning.values()]
        said += [call.arguments for call in self._calls.values()]
        return sum(len(piece.encode(errors="replace")) for pieces in said for piece in pieces)

    def _in_one(self, texts: Texts) -> str:
        if self.choices == 1:
            return "".join(texts[0])
        return json.dumps(["".join(texts[n]) for n in range(self.choices)], ensure_ascii=False)

    def _elapsed_ms(self) -> float:
        return (time.perf_counter() - self.started) * 1000


def written_input(request: GenerationRequest) -> list[dict[str, Any]] | str:
    """The prompt as it stands in the ledger; `read_input` is the way back."""
    if request.token_ids:
        return json.dumps(request.token_ids)
    if isinstance(request.prompt, str):
        return request.prompt
    return [_written(message) for message in request.prompt]


def read_input(recorded: Any) -> tuple[Message, ...]:
    """The turns of a recorded input; a raw prompt is a user's turn; nothing if none was kept."""
    if not isinstance(recorded, list):
        return (Message("user", recorded),) if recorded else ()
    calls = [{"tool_calls": read_calls(turn.get("tool_calls", ()))} for turn in recorded]
    return tuple(Message(**turn | own) for turn, own in zip(recorded, calls, strict=True))


def read_token_ids(record: GenerationRecord) -> tuple[int, ...]:
    """Of a recorded prompt that was given so."""
    return tuple(json.loads(record.input)) if record.parameters.get("token_ids") else ()


def read_calls(recorded: Sequence[dict[str, Any]]) -> tuple[ToolCall, ...]:
    return tuple(ToolCall(call["id"], call["name"], call["arguments"]) for call in recorded)


def read_output(record: GenerationRecord) -> tuple[str, ...]:
    """The text of each choice; nothing where none was said or kept."""
    if record.output and record.parameters.get("n", 1) > 1:
        return tuple(json.loads(record.output))
    return (record.output,) if record.output else ()


def _written(message: Message) -> dict[str, Any]:
    kept = {name: value for name, value in asdict(message).items() if value not in (None, ())}
    if message.tool_calls:
        kept["tool_calls"] = list(kept["tool_calls"])
    return {"role": message.role, "content": message.content} | kept
