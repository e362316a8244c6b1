"""A recorded generation as a request once more, as it was or with changes. It runs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from appliance.domain import GenerationRequest, Sampling
from appliance.errors import InvalidRequest
from appliance.gateway.account import read_input, read_token_ids
from appliance.gateway.terms import is_whole, read_form, read_tool_choice, read_tools
from appliance.ledger.tables import GenerationRecord

_SAMPLING = frozenset(field.name for field in fields(Sampling))


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What is to be different; None leaves it as it was. `temperature` is 0 to 2.

    `model` is an adapter of the engine here, or the name of a model at `url`; `url` is another
    OpenAI-compatible server and ends in `/v1`.
    """

    temperature: float | None = None
    thinking: bool | None = None
    model: str | None = None
    url: str | None = None
    key: str | None = None


def again(record: GenerationRecord, changes: Changes) -> GenerationRequest:
    """The request of `record` with `changes`.

    Raises InvalidRequest when what it takes was not recorded: texts, or, by an earlier version,
    tools and forms.
    """
    if not record.input:
        raise InvalidRequest("The texts of this request were not kept, so it cannot be run again.")
    kept = record.parameters
    if not is_whole(record):
        raise InvalidRequest(
            "This request had tools or a form. An earlier version recorded only their names, so "
            "it cannot be run again as it was."
        )
    thinking = kept.get("enable_thinking") if changes.thinking is None else changes.thinking
    prompt = record.input if isinstance(record.input, str) else read_input(record.input)
    token_ids = read_token_ids(record)
    return GenerationRequest(
        prompt="" if token_ids else prompt,
        token_ids=token_ids,
        sampling=_sampling(record, changes),
        choices=kept.get("n", 1),
        enable_thinking=thinking,
        thinking_budget=None if changes.thinking is False else kept.get("thinking_budget"),
        tools=read_tools(record),
        tool_choice=read_tool_choice(record),
        parallel_tool_calls=kept.get("parallel_tool_calls", True),
        constraint=read_form(record),
        top_logprobs=kept.get("top_logprobs"),
        continue_final_message=kept.get("continue_final_message", False),
        adapter=None if changes.url else changes.model or kept.get("adapter"),
        echo=kept.get("echo", False),
    )


def _sampling(record: GenerationRecord, changes: Changes) -> Sampling:
    kept: Mapping[str, Any] = record.parameters
    values = {name: value for name, value in kept.items() if name in _SAMPLING}
    if record.seed is not None:
        values["seed"] = record.seed
    if "logit_bias" in values:
        values["logit_bias"] = {int(token): bias for token, bias in values["logit_bias"].items()}
    found = Sampling(**values | {"stop": tuple(values.get("stop", ()))})
    if changes.temperature is None:
        return found
    if not 0 <= changes.temperature <= 2:
        raise InvalidRequest("The temperature is a number from 0 to 2.", param="temperature")
    return replace(found, temperature=changes.temperature)
