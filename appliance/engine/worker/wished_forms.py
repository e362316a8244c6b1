"""Which forms an answer must have, and from where on: by response formats and tool choices."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, cast

from appliance.domain import Constraint, GenerationRequest, NamedTool, Tool
from appliance.engine.worker.forms import (
    CAPABILITY,
    Form,
    JsonObject,
    JsonSchema,
    OneOf,
    Regex,
    ToolCalls,
)
from appliance.errors import InvalidRequest, UnsupportedParameter

_NO_ARGUMENTS: Mapping[str, Any] = {"type": "object", "properties": {}}


@dataclass(frozen=True, slots=True)
class Wish:
    """As in `job.Job`; `field` is where the caller wrote what led to it."""

    form: Form | None = None
    form_or_calls: bool = False
    call_form: ToolCalls | None = None
    field: str = ""


def offered_tools(request: GenerationRequest) -> tuple[Tool, ...]:
    """What the model is told of: with `none` it need not know any."""
    return () if request.tool_choice == "none" else request.tools


def wished_forms(
    request: GenerationRequest, fields: Mapping[str, str], capabilities: Collection[str]
) -> Wish:
    """Raises InvalidRequest for wishes that exclude each other, UnsupportedParameter for forms
    that this backend cannot do."""
    wish = _wish(request, fields)
    for form in (wish.form, wish.call_form):
        if form is not None and CAPABILITY[type(form)] not in capabilities:
            raise UnsupportedParameter(
                "This engine cannot hold an answer to the form that %(parameter)s asks for. "
                "Leave it out, or use another engine.",
                param=wish.field,
                parameter=wish.field,
            )
    return wish


def _wish(request: GenerationRequest, fields: Mapping[str, str]) -> Wish:
    tools, choice = offered_tools(request), request.tool_choice
    field = fields.get("constraint", "response_format")
    if isinstance(choice, NamedTool) or choice == "required":
        if request.constraint is not None:
            raise InvalidRequest(
                "tool_choice asks for a call and %(field)s for another form. Leave out one of "
                "them.",
                param=field,
                field=field,
            )
        return Wish(_forced(tools, choice, request.parallel_tool_calls), field="tool_choice")
    form = None if request.constraint is None else _form(request.constraint)
    if not tools:
        return Wish(form, field=field)
    strict = next((at for at, tool in enumerate(tools) if tool.strict), None)
    if strict is None:
        return Wish(form, form_or_calls=form is not None, field=field)
    calls = ToolCalls(_schemas(tools), request.parallel_tool_calls)
    return Wish(form, form is not None, calls, f"tools.{strict}.function.strict")


def _forced(tools: tuple[Tool, ...], choice: NamedTool | str, many: bool) -> ToolCalls:
    if not tools:
        raise InvalidRequest(
            "tool_choice asks for a call, but there are no tools. Add tools.", param="tool_choice"
        )
    if not isinstance(choice, NamedTool):
        return ToolCalls(_schemas(tools), many)
    named = tuple(tool for tool in tools if tool.name == choice.name)
    if not named:
        raise InvalidRequest(
            "tool_choice names %(name)s, which is not among the tools: %(names)s.",
            param="tool_choice",
            name=choice.name,
            names=", ".join(tool.name for tool in tools),
        )
    return ToolCalls(_schemas(named), many=False)


def _schemas(tools: tuple[Tool, ...]) -> tuple[tuple[str, Mapping[str, Any]], ...]:
    return tuple((tool.name, tool.parameters or _NO_ARGUMENTS) for tool in tools)


def _form(constraint: Constraint) -> Form:
    value = constraint.value
    if constraint.kind == "json_schema":
        return JsonSchema(cast("Mapping[str, Any]", value))
    if constraint.kind == "regex":
        return Regex(str(value))
    if constraint.kind == "choice":
        return OneOf(cast("tuple[str, ...]", value))
    return JsonObject()
