"""Refuses, by name and place, what a form says that not every grammar engine holds strictly.

Found by asking llguidance 1.9 and the xgrammar inside OpenVINO GenAI 2026.4 for values that a
schema allows and forbids; `tests/engine/worker/test_schema_check.py` holds the list for llguidance.
Knows neither library: what passes here means the same on every backend.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from appliance.engine.worker.forms import Form, JsonSchema, Regex, ToolCalls
from appliance.engine.worker.schema_unions import are_disjoint, resolve
from appliance.errors import InvalidRequest

_DEEPEST = 64
_TYPES = {"string", "integer", "number", "boolean", "null", "object", "array"}
_FORMATS = {
    "date", "date-time", "time", "duration", "email", "hostname", "ipv4", "ipv6", "uri", "uuid",
}  # fmt: skip
_NEVER = {
    "not": "", "if": "", "then": "", "else": "", "dependencies": "",
    "dependentRequired": "", "dependentSchemas": "", "propertyNames": "", "patternProperties": "",
    "minProperties": "Make properties required instead.", "maxProperties": "",
    "contains": "", "minContains": "", "maxContains": "", "multipleOf": "",
    "unevaluatedItems": "Use items.", "unevaluatedProperties": "Use additionalProperties.",
    "$anchor": "Use $defs.", "$dynamicAnchor": "Use $defs.", "$dynamicRef": "Use $ref.",
    "$recursiveRef": "Use $ref.", "nullable": 'Add "null" to type.', "x-guidance": "",
}  # fmt: skip
_STRINGS = ("minLength", "maxLength", "pattern", "format")
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_OBJECTS = ("properties", "required", "additionalProperties")
_ARRAYS = ("items", "prefixItems", "minItems", "maxItems")
_UNIONS = ("anyOf", "oneOf", "allOf")
_VALUES = ("enum", "const")
_LIMITS = (*_STRINGS, *_BOUNDS, *_OBJECTS, *_ARRAYS, *_UNIONS, *_VALUES, "$ref")
# Not of regular languages, or written differently in the two engines' dialects.
_BEYOND_REGULAR = re.compile(
    r"\\(?P<escape>[bB1-9pPkGAzZ])|\\.|(?P<group>\(\?(?!:).{0,2})", re.DOTALL
)


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


def check_pattern(pattern: str, place: str) -> None:
    """Raises InvalidRequest for what is more than a regular expression of the plain kind."""
    for found in _BEYOND_REGULAR.finditer(pattern):
        if found["escape"] or found["group"]:
            _refuse(found[0], place, "Only plain groups, classes and repetitions can be enforced.")


def _check(schema: Any, place: str, root: Mapping[str, Any], depth: int) -> None:
    if schema is True:
        return
    if not isinstance(schema, Mapping):
        _refuse(repr(schema), place, "A schema is a JSON object.")
    if depth > _DEEPEST:
        _refuse("nesting", place, f"At most {_DEEPEST} levels are possible.")
    for name, advice in _NEVER.items():
        if name in schema:
            _refuse(name, f"{place}/{name}", advice)
    if schema.get("uniqueItems"):
        _refuse("uniqueItems", f"{place}/uniqueItems")
    types = _types(schema, place)
    for check in (_check_strings, _check_bounds, _check_objects, _check_arrays):
        check(schema, types, place)
    _check_values(schema, types, place)
    _check_reference(schema, place, root)
    _check_unions(schema, place, root)
    for child, child_place in _children(schema, place):
        _check(child, child_place, root, depth + 1)


def _types(schema: Mapping[str, Any], place: str) -> set[str]:
    named = schema.get("type", [])
    types = {named} if isinstance(named, str) else set(named)
    if strange := types - _TYPES:
        _refuse(f"type {min(map(str, strange))}", f"{place}/type")
    return types


def _check_strings(schema: Mapping[str, Any], types: set[str], place: str) -> None:
    used = [name for name in _STRINGS if name in schema]
    if used and "string" not in types:
        _refuse(used[0], f"{place}/{used[0]}", 'It needs "type": "string" beside it.')
    if len(used) > 1 and set(used) != {"minLength", "maxLength"}:
        _refuse(used[0], f"{place}/{used[0]}", f"It cannot be combined with {used[-1]}.")
    if "pattern" in schema:
        check_pattern(str(schema["pattern"]), f"{place}/pattern")
    if schema.get("format", "date") not in _FORMATS:
        advice = f"Known formats: {', '.join(sorted(_FORMATS))}."
        _refuse(f"format {schema['format']}", f"{place}/format", advice)


def _check_bounds(schema: Mapping[str, Any], types: set[str], place: str) -> None:
    for name in _BOUNDS:
        if name not in schema:
            continue
        if "integer" not in types or "number" in types:
            _refuse(name, f"{place}/{name}", 'Only "type": "integer" can be held to bounds.')
        if schema[name] != int(schema[name]):
            _refuse(name, f"{place}/{name}", "Give a whole number.")


def _check_objects(schema: Mapping[str, Any], types: set[str], place: str) -> None:
    properties = schema.get("properties", {})
    for name in schema.get("required", []):
        if name not in properties:
            _refuse(f"required {name}", f"{place}/required", "Describe it among the properties.")
    if properties and schema.get("additionalProperties", False) is not False:
        advice = "Beside properties it must be false or left out."
        _refuse("additionalProperties", f"{place}/additionalProperties", advice)


def _check_arrays(schema: Mapping[str, Any], types: set[str], place: str) -> None:
    if isinstance(schema.get("items"), Sequence):
        _refuse("items", f"{place}/items", "A list of schemas is called prefixItems.")
    for name in ("minItems", "maxItems"):
        if name in schema and "items" not in schema and "prefixItems" not in schema:
            _refuse(name, f"{place}/{name}", "It needs items beside it.")


def _check_values(schema: Mapping[str, Any], types: set[str], place: str) -> None:
    """What else is said of a value that is listed, one of the engines does not look at."""
    used = [name for name in _VALUES if name in schema]
    if not used:
        return
    _alone(schema, used[0], place)
    values = schema.get("enum", [schema.get("const")])
    for value in values:
        if types and not types & _types_of(value):
            _refuse(used[0], f"{place}/{used[0]}", f"{value!r} is not of the type given beside it.")


def _types_of(value: Any) -> set[str]:
    match value:
        case bool():
            return {"boolean"}
        case int():
            return {"integer", "number"}
        case float():
            return {"number"}
        case str():
            return {"string"}
        case None:
            return {"null"}
    return {"object"} if isinstance(value, Mapping) else {"array"}


def _check_reference(schema: Mapping[str, Any], place: str, root: Mapping[str, Any]) -> None:
    if "$ref" in schema:
        _alone(schema, "$ref", place)
        if resolve(schema, root) is None:
            _refuse(f"$ref {schema['$ref']}", f"{place}/$ref", "It must lead into this schema.")


def _check_unions(schema: Mapping[str, Any], place: str, root: Mapping[str, Any]) -> None:
    for name in _UNIONS:
        if name in schema:
            _alone(schema, name, place)
            if "type" in schema:
                _refuse(name, f"{place}/{name}", "It cannot be combined with type.")
    if len(schema.get("allOf", [])) > 1:
        _refuse("allOf", f"{place}/allOf", "Write the parts as one schema.")
    if "oneOf" in schema and not are_disjoint(schema["oneOf"], root):
        advice = "Its parts may overlap. Give them different types or constants, or use anyOf."
        _refuse("oneOf", f"{place}/oneOf", advice)


def _alone(schema: Mapping[str, Any], name: str, place: str) -> None:
    for other in _LIMITS:
        if other in schema and other != name:
            _refuse(name, f"{place}/{name}", f"It cannot be combined with {other}.")


def _children(schema: Mapping[str, Any], place: str) -> Iterator[tuple[Any, str]]:
    for name in ("properties", "$defs", "definitions"):
        for key, child in schema.get(name, {}).items():
            yield child, f"{place}/{name}/{_escaped(key)}"
    for name in (*_UNIONS, "prefixItems"):
        for index, child in enumerate(schema.get(name, [])):
            yield child, f"{place}/{name}/{index}"
    for name in ("items", "additionalProperties"):
        if schema.get(name, False) is not False:
            yield schema[name], f"{place}/{name}"


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _refuse(part: str, place: str, advice: str = "Leave it out.") -> None:
    raise InvalidRequest(
        "%(part)s at %(place)s cannot be enforced. %(advice)s",
        part=part,
        place=place,
        advice=advice or "Leave it out.",
    )
