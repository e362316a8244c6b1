"""One admitted request, ready to run: what could be refused about it has been decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from appliance.engine.worker.answer import Answer
from appliance.engine.worker.forms import Form, ToolCalls
from appliance.engine.worker.sampling import TokenSampling


@dataclass(slots=True)
class Clock:
    """Moments of one request in seconds of `time.perf_counter`; 0 until they have passed."""

    arrived: float = 0.0
    started: float = 0.0
    first_token: float = 0.0
    finished: float = 0.0

    def milliseconds(self) -> dict[str, float]:
        """Waiting for a place; from there to the first token; from there to the last."""
        first = self.first_token or self.finished
        return {
            "queue_ms": round(1e3 * (self.started - self.arrived), 1),
            "prefill_ms": round(1e3 * (first - self.started), 1),
            "decode_ms": round(1e3 * (self.finished - first), 1),
        }


@dataclass(slots=True)
class Choice:
    """One of the answers, and how far it is.

    `hurried`: whoever waits for it wants the thinking to end now.
    """

    index: int
    answer: Answer
    hurried: bool = False
    finish_reason: str = "stop"
    completion_tokens: int = 0
    cached_tokens: int = 0


@dataclass(slots=True, kw_only=True)
class Job:
    """`max_tokens` is for each choice.

    `form` holds from the end of the thinking on; when `form_or_calls`, an answer that begins with
    a tool call is left free of it. `call_form` holds from the beginning of a call on. `echo` is
    said before each answer.
    """

    prompt: Sequence[int]
    max_tokens: int
    sampling: TokenSampling
    choices: tuple[Choice, ...]
    clock: Clock
    model: str
    adapter: str | None = None
    top_logprobs: int | None = None
    thinking_budget: int | None = None
    form: Form | None = None
    form_or_calls: bool = False
    call_form: ToolCalls | None = None
    echo: str = ""

    @property
    def scores_prompt(self) -> bool:
        return bool(self.echo) and self.top_logprobs is not None

    def usage(self) -> dict[str, object]:
        """OpenAI's object: tokens of the prompt once, of all choices together."""
        completion = sum(choice.completion_tokens for choice in self.choices)
        reasoning = sum(choice.answer.reasoning_tokens for choice in self.choices)
        return {
            "prompt_tokens": len(self.prompt),
            "completion_tokens": completion,
            "total_tokens": len(self.prompt) + completion,
            "prompt_tokens_details": {"cached_tokens": self.choices[0].cached_tokens},
            "completion_tokens_details": {"reasoning_tokens": reasoning},
        }
