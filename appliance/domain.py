"""The words the whole house speaks: a request for tokens, and the events that answer it.

Imports nothing of ours and knows no dialect, no engine and no database. A route turns its
dialect into a `GenerationRequest`; the engine client answers with `Event`s; the route turns
those back into its dialect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length", "tool_calls", "cancelled", "error"]
ConstraintKind = Literal["json_object", "json_schema", "regex", "choice"]


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
class ToolCall:
    """A function that the model wants called. `arguments` is JSON text, as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call. `parameters` is a JSON schema; None: no arguments.

    `strict` asks that the arguments of a call obey the schema exactly.
    """

    name: str
    description: str | None = None
    parameters: Mapping[str, Any] | None = None
    strict: bool = False


@dataclass(frozen=True, slots=True)
class NamedTool:
    """The one tool that must be called."""

    name: str


ToolChoice = Literal["auto", "none", "required"] | NamedTool


@dataclass(frozen=True, slots=True)
class Constraint:
    """The form that an answer must have; it holds from the end of the thinking on.

    `value` is a schema for `json_schema`, a pattern for `regex`, texts for `choice`, None for
    `json_object`. `field` is what the caller calls it, for refusals.
    """

    kind: ConstraintKind
    value: Mapping[str, Any] | str | tuple[str, ...] | None = None
    field: str = "response_format"


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation. `content` is plain text.

    `reasoning` is the thinking that led to an assistant's turn; the model sees it again only
    inside an unfinished tool turn. A `tool` turn carries the result of the call `tool_call_id`.
    """

    role: Role
    content: str
    reasoning: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How tokens are chosen. None means: what the model's makers recommend.

    Ranges are checked by the routes and again by the worker: `max_tokens` ≥ 1,
    `temperature` 0–2 (0 is greedy), `top_p` 0–1 (above 0), `top_k` ≥ 0 (0 is off),
    `min_p` 0–1, penalties −2–2 (`repetition_penalty` above 0), at most 4 `stop` strings,
    `logit_bias` −100–100 by token id.
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
    logit_bias: Mapping[int, float] | None = None
    stop: tuple[str, ...] = ()

    def given(self) -> dict[str, Any]:
        """What was asked for, by name."""
        named = ((name, getattr(self, name)) for name in self.__dataclass_fields__)
        return {name: value for name, value in named if value not in (None, ())}


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """One wish for tokens, whichever dialect it came in.

    `prompt` is either the turns of a chat or raw text that no chat template touches. `token_ids`
    stand for raw text as the model's own tokens; `prompt` is then empty. `choices` answers are
    generated side by side. `thinking_budget` is the most tokens of thinking. `top_logprobs` None:
    no log-probabilities; 0: of the chosen tokens; n: of the n likeliest too. `adapter` names a
    served adapter; None is the model itself. `continue_final_message`: the last turn is the
    beginning of the answer, which goes on within it, without thinking. `echo`: a raw prompt is said
    again before its answer, with its log-probabilities where those are wanted.
    """

    prompt: tuple[Message, ...] | str
    token_ids: tuple[int, ...] = ()
    sampling: Sampling = Sampling()
    choices: int = 1
    enable_thinking: bool | None = None
    thinking_budget: int | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = "auto"
    parallel_tool_calls: bool = True
    constraint: Constraint | None = None
    top_logprobs: int | None = None
    adapter: str | None = None
    continue_final_message: bool = False
    echo: bool = False

    @property
    def raw(self) -> bool:
        return isinstance(self.prompt, str)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens counted by the engine. `cached_tokens` of the prompt were not computed again."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0

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
    """First event of every answer: the engine has accepted the work. Refusals come before it.

    `cached_from` is the request whose answer is given again, `cache_age` seconds after it was
    complete; None for an answer of its own.
    """

    generation_id: str
    model: str
    queue_ms: float
    cached_from: str | None = None
    cache_age: float | None = None


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """Natural logarithm of a token's probability before any sampling parameter was applied.

    `bytes` are UTF-8, perhaps of a part of a character; `text` is their best reading. The first
    token of a prompt has nothing before it, so its `logprob` is None.
    """

    text: str
    logprob: float | None
    bytes: tuple[int, ...] = ()
    top: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str
    choice: int = 0
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """Thinking that precedes the answer; never mixed into `TextDelta`."""

    text: str
    choice: int = 0


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of one call. `id` and `name` come with its first piece, `arguments` grow."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""
    choice: int = 0


@dataclass(frozen=True, slots=True)
class ChoiceFinished:
    """One of the choices is complete; nothing follows for it."""

    finish_reason: FinishReason
    choice: int = 0


@dataclass(frozen=True, slots=True)
class Finished:
    """Last event of every answer that was not cut off by an error.

    `finish_reason` is that of the first choice.
    """

    finish_reason: FinishReason
    usage: Usage
    timings: Timings


Delta = TextDelta | ReasoningDelta | ToolCallDelta
Event = Admitted | Delta | ChoiceFinished | Finished
