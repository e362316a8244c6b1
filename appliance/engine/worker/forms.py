"""The forms that a backend can hold an answer to, apart from any grammar library's own words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class JsonObject:
    """Any JSON object."""


@dataclass(frozen=True, slots=True)
class JsonSchema:
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Regex:
    pattern: str


@dataclass(frozen=True, slots=True)
class OneOf:
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ToolCalls:
    """One call, or several when `many`, in Hermes form, each with arguments after its schema:

    <tool_call>\\n{"name": "NAME", "arguments": {…}}\\n</tool_call>

    Several are one line break apart. `tools` are pairs of name and schema of the arguments.
    """

    tools: tuple[tuple[str, Mapping[str, Any]], ...]
    many: bool


Form = JsonObject | JsonSchema | Regex | OneOf | ToolCalls
# What a backend names in its capabilities when it can do a form.
CAPABILITY: Mapping[type, str] = {
    JsonObject: "json_object",
    JsonSchema: "json_schema",
    Regex: "regex",
    OneOf: "choice",
    ToolCalls: "tool_calls",
}
