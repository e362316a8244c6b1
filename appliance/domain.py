"""The words the whole house speaks: a request for tokens, and the events that answer it.

Imports nothing of ours and knows no dialect, no engine and no database. A route turns its
dialect into a `GenerationRequest`; the engine client answers with `Event`s; the route turns
those back into its dialect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Role = Literal["system", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length", "cancelled", "error"]


@dataclass(frozen=True, slots=True)
class Phrase:
    """A sentence whose numbers are kept apart, so that a page can translate the sentence.

    `template` is a gettext msgid in English with `%(name)s` places for `values`.
    """

    template: str
    values: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.template % self.values if self.values else self.template


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation. `content` is plain text."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How tokens are chosen. None means: what the model's makers recommend.

    Ranges are checked by the routes and again by the worker: `max_tokens` ≥ 1,
    `temperature` 0–2 (0 is greedy), `top_p` 0–1 (above 0), `top_k` ≥ 0 (0 is off),
    `min_p` 0–1, penalties −2–2 (`repetition_penalty` above 0), at most 4 `stop` strings.
    """

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repetition_penalty: float | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """One wish for tokens, whichever dialect it came in.

    `prompt` is either the turns of a chat or raw text that no chat template touches.
    """

    prompt: tuple[Message, ...] | str
    sampling: Sampling = Sampling()
    enable_thinking: bool | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens counted by the engine. `cached_tokens` of the prompt were not computed again."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds: waiting for a place, from arrival to first token, from arrival to the end."""

    queue_ms: float
    ttft_ms: float | None
    duration_ms: float


@dataclass(frozen=True, slots=True)
class Admitted:
    """First event of every answer: the engine has accepted the work. Refusals come before it."""

    generation_id: str
    model: str
    queue_ms: float


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """Thinking that precedes the answer; never mixed into `TextDelta`."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """Last event of every answer that was not cut off by an error."""

    finish_reason: FinishReason
    usage: Usage
    timings: Timings


Event = Admitted | TextDelta | ReasoningDelta | Finished
