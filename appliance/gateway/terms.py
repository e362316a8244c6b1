"""What a request asked for besides its texts: how it stands in the ledger, and the way back.

Numbers and names are in `parameters`, whatever is kept; tools and the form are texts, and go as
texts do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from appliance.domain import Constraint, GenerationRequest, NamedTool, Tool, ToolChoice
from appliance.engine.config import EngineFacts
from appliance.ledger.tables import GenerationRecord


def parameters(request: GenerationRequest, facts: EngineFacts | None = None) -> dict[str, Any]:
    """What was asked for besides the text, over what the engine does where nothing is asked.

    What is in neither is off.
    """
    found = dict(defaults(request, facts)) | request.sampling.given()
    others: dict[str, Any] = {
        "n": request.choices if request.choices != 1 else None,
        "enable_thinking": request.enable_thinking,
        "thinking_budget": request.thinking_budget,
        "constraint": request.constraint.kind if request.constraint else None,
        "top_logprobs": request.top_logprobs,
        "adapter": request.adapter,
        "continue_final_message": request.continue_final_message or None,
        "echo": request.echo or None,
        # The input is then a JSON list of them.
        "token_ids": bool(request.token_ids) or None,
    }
    if request.tools:
        choice = request.tool_choice
        others["tools"] = [tool.name for tool in request.tools]
        others["tool_choice"] = {"name": choice.name} if isinstance(choice, NamedTool) else choice
        others["parallel_tool_calls"] = None if request.parallel_tool_calls else False
    return found | {name: value for name, value in others.items() if value is not None}


def defaults(request: GenerationRequest, facts: EngineFacts | None) -> Mapping[str, float]:
    """The engine's own sampling for this request; thinking is often sampled otherwise."""
    if facts is None:
        return {}
    thinks = facts.thinking and request.enable_thinking is not False
    if thinks and not request.raw and facts.thinking_sampling:
        return facts.thinking_sampling
    return facts.default_sampling


def written_tools(request: GenerationRequest) -> list[dict[str, Any]] | None:
    """The tools whole; None where there are none."""
    tools = [asdict(tool) for tool in request.tools]
    return [{k: v for k, v in tool.items() if v not in (None, False)} for tool in tools] or None


def written_form(request: GenerationRequest) -> Any:
    """The schema, the pattern or the texts; None where there is no form, or no more to it."""
    return request.constraint.value if request.constraint else None


def read_tools(record: GenerationRecord) -> tuple[Tool, ...]:
    return tuple(Tool(**tool) for tool in record.tools or ())


def read_tool_choice(record: GenerationRecord) -> ToolChoice:
    choice: Any = record.parameters.get("tool_choice", "auto")
    return NamedTool(choice["name"]) if isinstance(choice, dict) else choice


def read_form(record: GenerationRecord) -> Constraint | None:
    """The form; None too where no more than its kind is known."""
    kind: Any = record.parameters.get("constraint")
    if kind == "json_object":
        return Constraint(kind)
    if kind is None or record.form is None:
        return None
    return Constraint(kind, tuple(record.form) if kind == "choice" else record.form)


def is_whole(record: GenerationRecord) -> bool:
    """False for a row from before tools and forms were kept whole, if it had any."""
    kept = record.parameters
    return ("tools" in kept) == bool(record.tools) and ("constraint" in kept) == (
        read_form(record) is not None
    )
