"""Refuses, by name and place, what a form says that not every grammar engine holds strictly.

Found by asking llguidance 1.9 and the xgrammar inside OpenVINO GenAI 2026.4 for values that a
schema allows and forbids; `tests/engine/worker/test_schema_check.py` holds the list for llguidance.
Knows neither library: what passes here means the same on every backend.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from appliance.engine.worker.forms import Form, JsonSchema, Regex, ToolCalls
from appliance.engine.worker.schema_keywords import (
    UNIONS,
    alone,
    check_pattern,
    check_values,
    refuse,
)
from appliance.engine.worker.schema_unions import are_disjoint, resolve
from appliance.errors import InvalidRequest

_DEEPEST = 64
_NEVER = {
    "not": "", "if": "", "then": "", "else": "", "dependencies": "",
    "dependentRequired": "", "dependentSchemas": "", "propertyNames": "", "patternProperties": "",
    "minProperties": "Make properties required instead.", "maxProperties": "",
    "contains": "", "minContains": "", "maxContains": "", "multipleOf": "",
    "unevaluatedItems": "Use items.", "unevaluatedProperties": "Use additionalProperties.",
    "$anchor": "Use $defs.", "$dynamicAnchor": "Use $defs.", "$dynamicRef": "Use $ref.",
    "$recursiveRef": "Use $ref.", "nullable": 'Add "null" to type.', "x-guidance": "",
}  # fmt: skip


def check_form(form: Form) -> None:
    """Raises InvalidRequest that names the part and where it stands."""
    match form:
        case JsonSchema(schema):
            check_schema(schema)
        case Regex(pattern):
            check_pattern(pattern, "the pattern")
        case ToolCalls():
            for name, schema in form.tools:
                check_schema(schema, f"{name}#")
        case _:
            return


def check_schema(schema: Mapping[str, Any], root: str = "#") -> None:
    """`root` is where the pointers in a message begin. Raises InvalidRequest."""
    try:
        _check(schema, root, schema, 0)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidRequest(
            "The JSON schema at %(place)s is malformed: %(reason)s", place=root, reason=error
        ) from error


def _check(schema: Any, place: str, root: Mapping[str, Any], depth: int) -> None:
    if schema is True:
        return
    if not isinstance(schema, Mapping):
        refuse(repr(schema), place, "A schema is a JSON object.")
    if depth > _DEEPEST:
        refuse("nesting", place, f"At most {_DEEPEST} levels are possible.")
    for name, advice in _NEVER.items():
        if name in schema:
            refuse(name, f"{place}/{name}", advice)
    if schema.get("uniqueItems"):
        refuse("uniqueItems", f"{place}/uniqueItems")
    check_values(schema, place)
    _check_reference(schema, place, root)
    _check_unions(schema, place, root)
    for child, child_place in _children(schema, place):
        _check(child, child_place, root, depth + 1)


def _check_reference(schema: Mapping[str, Any], place: str, root: Mapping[str, Any]) -> None:
    if "$ref" in schema:
        alone(schema, "$ref", place)
        if resolve(schema, root) is None:
            refuse(f"$ref {schema['$ref']}", f"{place}/$ref", "It must lead into this schema.")


def _check_unions(schema: Mapping[str, Any], place: str, root: Mapping[str, Any]) -> None:
    for name in UNIONS:
        if name in schema:
            alone(schema, name, place)
            if "type" in schema:
                refuse(name, f"{place}/{name}", "It cannot be combined with type.")
    if len(schema.get("allOf", [])) > 1:
        refuse("allOf", f"{place}/allOf", "Write the parts as one schema.")
    if "oneOf" in schema and not are_disjoint(schema["oneOf"], root):
        advice = "Its parts may overlap. Give them different types or constants, or use anyOf."
        refuse("oneOf", f"{place}/oneOf", advice)


def _children(schema: Mapping[str, Any], place: str) -> Iterator[tuple[Any, str]]:
    for name in ("properties", "$defs", "definitions"):
        for key, child in schema.get(name, {}).items():
            yield child, f"{place}/{name}/{_escaped(key)}"
    for name in (*UNIONS, "prefixItems"):
        for index, child in enumerate(schema.get(name, [])):
            yield child, f"{place}/{name}/{index}"
    for name in ("items", "additionalProperties"):
        if schema.get(name, False) is not False:
            yield schema[name], f"{place}/{name}"


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
