"""What may be chosen for one chat: the system prompt, the sampling, the most thinking.

Reads the fields of the panel and fills them in again. Knows no conversation and no engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Request

from appliance.domain import Phrase, Sampling
from appliance.errors import InvalidRequest
from appliance.ledger.tables_chat import Conversation

MAX_SYSTEM_PROMPT = 100_000  # characters
MAX_TOKENS = 1_000_000
MAX_SEED = 2**32 - 1
OUT_OF_RANGE = Phrase(
    "%(field)s must be a number from %(least)s to %(most)s, but “%(value)s” was given. "
    "Correct it, or leave it empty for what the model's makers recommend."
)
WHOLE_NUMBER = Phrase(
    "%(field)s must be a whole number from %(least)s to %(most)s, but “%(value)s” was given. "
    "Correct it, or leave it empty for what the model's makers recommend."
)


@dataclass(frozen=True, slots=True)
class Knob:
    """One number of the panel and what it may be. `step` None: whole numbers."""

    name: str
    label: Phrase
    least: float
    most: float
    step: float | None = None


BUDGET = Knob("thinking_budget", Phrase("Most tokens of thinking"), 0, MAX_TOKENS)
KNOBS = (
    Knob("temperature", Phrase("Temperature"), 0, 2, 0.05),
    Knob("top_p", Phrase("Top-p"), 0.01, 1, 0.01),
    Knob("top_k", Phrase("Top-k"), 0, 1000),
    Knob("min_p", Phrase("Min-p"), 0, 1, 0.01),
    Knob("presence_penalty", Phrase("Presence penalty"), -2, 2, 0.1),
    Knob("repetition_penalty", Phrase("Repetition penalty"), 0.1, 2, 0.05),
    Knob("max_tokens", Phrase("Most tokens of an answer"), 1, MAX_TOKENS),
    Knob("seed", Phrase("Seed"), 0, MAX_SEED),
)


@dataclass(frozen=True, slots=True)
class Tuning:
    """The choices for one chat; what is empty is left to the model's makers."""

    system_prompt: str | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    thinking_budget: int | None = None

    @classmethod
    def of(cls, conversation: Conversation | None) -> Tuning:
        if conversation is None:
            return cls()
        chosen = conversation.sampling or {}
        known = {
            knob.name: chosen[knob.name] for knob in KNOBS if chosen.get(knob.name) is not None
        }
        return cls(conversation.system_prompt, known, conversation.thinking_budget)

    @property
    def chosen(self) -> bool:
        """True when anything is not as the model's makers recommend."""
        return bool(self.system_prompt or self.sampling or self.thinking_budget is not None)

    @staticmethod
    def knobs(thinking: bool | None) -> tuple[Knob, ...]:
        """The numbers that can be chosen, for a model that thinks or one that does not."""
        return (*KNOBS, BUDGET) if thinking else KNOBS

    def value(self, knob: Knob) -> str:
        """What the field shows."""
        found = self.thinking_budget if knob is BUDGET else self.sampling.get(knob.name)
        return "" if found is None else str(found)

    def wish(self) -> Sampling:
        return Sampling(**self.sampling)


async def read_tuning(request: Request) -> Tuning:
    """The panel's fields of a posted form. Raises InvalidRequest that names the field."""
    form = await request.form()
    return tuning_from({name: value for name, value in form.items() if isinstance(value, str)})


def tuning_from(form: Mapping[str, str]) -> Tuning:
    numbers = {knob.name: _number(knob, form.get(knob.name, "")) for knob in KNOBS}
    budget = _number(BUDGET, form.get(BUDGET.name, ""))
    return Tuning(
        _system_prompt(form.get("system_prompt", "")),
        {name: value for name, value in numbers.items() if value is not None},
        None if budget is None else int(budget),
    )


TuningDep = Annotated[Tuning, Depends(read_tuning)]


def _system_prompt(text: str) -> str | None:
    if len(text) > MAX_SYSTEM_PROMPT:
        raise InvalidRequest(
            "The system prompt has %(length)s characters; at most %(most)s are allowed.",
            param="system_prompt",
            length=len(text),
            most=MAX_SYSTEM_PROMPT,
        )
    return text.strip() or None


def _number(knob: Knob, text: str) -> float | int | None:
    """The number; None for an empty field."""
    text = text.strip()
    if not text:
        return None
    try:
        value = int(text) if knob.step is None else float(text)
    except ValueError:
        raise _refused(knob, text) from None
    if not knob.least <= value <= knob.most:
        raise _refused(knob, text)
    return value


def _refused(knob: Knob, text: str) -> InvalidRequest:
    phrase = WHOLE_NUMBER if knob.step is None else OUT_OF_RANGE
    return InvalidRequest(
        phrase.template,
        param=knob.name,
        field=knob.label,
        least=f"{knob.least:g}" if knob.step else str(int(knob.least)),
        most=f"{knob.most:g}" if knob.step else str(int(knob.most)),
        value=text[:40],
    )
