"""A body becomes a request, or a refusal that names field, value and what would be right."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from appliance.errors import InvalidRequest, UnsupportedParameter

Request = TypeVar("Request", bound=BaseModel)
_LONGEST_VALUE = 80
_OUT_OF_RANGE = {
    "greater_than",
    "greater_than_equal",
    "less_than",
    "less_than_equal",
    "finite_number",
}
_LOWER = {"minimum": "at least", "exclusiveMinimum": "above"}
_UPPER = {"maximum": "at most", "exclusiveMaximum": "below"}


def parse(kind: type[Request], body: bytes) -> Request:
    """Raises InvalidRequest or UnsupportedParameter, naming the first field that is wrong."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise _refusal(kind, error.errors(include_url=False)) from None


def _refusal(kind: type[BaseModel], problems: list[ErrorDetails]) -> InvalidRequest:
    first = problems[0]
    # Of several allowed forms, the one that came furthest tells most.
    alike = [each for each in problems if each["loc"][:2] == first["loc"][:2]]
    problem = max(alike, key=lambda each: len(each["loc"]))
    field, reason = _field(problem), problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "json_invalid":
        return InvalidRequest("The body is not JSON: %(reason)s", reason=reason)
    if problem["type"] == "extra_forbidden":
        return UnsupportedParameter(
            "This engine does not know the parameter %(parameter)s. Leave it out.",
            param=field,
            parameter=field,
        )
    if problem["type"] == "missing":
        return InvalidRequest("%(parameter)s is missing.", param=field, parameter=field)
    if problem["type"] == "value_error":
        return InvalidRequest("%(reason)s.", param=field or None, reason=reason)
    if problem["type"] in _OUT_OF_RANGE:
        return InvalidRequest(
            "%(parameter)s is %(value)s, but must be %(range)s.",
            param=field,
            parameter=field,
            value=_shown(problem["input"]),
            range=_range(kind, str(problem["loc"][0])) or reason,
        )
    return InvalidRequest(
        "%(parameter)s is %(value)s: %(reason)s.",
        param=field,
        parameter=field,
        value=_shown(problem["input"]),
        reason=reason[:1].lower() + reason[1:],
    )


def _field(problem: ErrorDetails) -> str:
    """The way to the field, without the names of the forms that were tried."""
    steps = [str(step) for step in problem["loc"]]
    return ".".join(step for step in steps if step.isdecimal() or _is_name(step))


def _is_name(step: str) -> bool:
    return step.islower() and step != "str" and "[" not in step


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def _range(kind: type[BaseModel], field: str) -> str:
    """In words, from the schema, which knows both ends where an error knows one."""
    found: dict[str, Any] = {}
    waiting = [kind.model_json_schema()["properties"].get(field, {})]
    while waiting:
        part = waiting.pop()
        found |= {name: part[name] for name in (*_LOWER, *_UPPER) if name in part}
        waiting += [*part.get("anyOf", ()), *filter(None, [part.get("additionalProperties")])]
    words = [f"{_LOWER[name]} {found[name]}" for name in _LOWER if name in found]
    words += [f"{_UPPER[name]} {found[name]}" for name in _UPPER if name in found]
    return " and ".join(words)
