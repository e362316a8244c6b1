"""What may be said of a value at one place of a schema, keyword by keyword.

Each check refuses what one of the grammar engines does not hold strictly (see `schema_check`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from appliance.errors import InvalidRequest

_TYPES = {"string", "integer", "number", "boolean", "null", "object", "array"}
_FORMATS = {
    "date", "date-time", "time", "duration", "email", "hostname", "ipv4", "ipv6", "uri", "uuid",
}  # fmt: skip
_STRINGS = ("minLength", "maxLength", "pattern", "format")
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_OBJECTS = ("properties", "required", "additionalProperties")
_ARRAYS = ("items", "prefixItems", "minItems", "maxItems")
UNIONS = ("anyOf", "oneOf", "allOf")
_VALUES = ("enum", "const")
_LIMITS = (*_STRINGS, *_BOUNDS, *_OBJECTS, *_ARRAYS, *UNIONS, *_VALUES, "$ref")
# Not of regular languages, or written differently in the two engines' dialects.
_BEYOND_REGULAR = re.compile(
    r"\\(?P<escape>[bB1-9pPkGAzZ])|\\.|(?P<group>\(\?(?!:).{0,2})", re.DOTALL
)


def check_values(schema: Mapping[str, Any], place: str) -> None:
    """Raises InvalidRequest for what cannot be held of the values that fit here."""
    types = _types(schema, place)
    _check_strings(schema, types, place)
    _check_bounds(schema, types, place)
    _check_objects(schema, place)
    _check_arrays(schema, place)
    _check_listed(schema, types, place)


def check_pattern(pattern: str, place: str) -> None:
    """Raises InvalidRequest for what is more than a regular expression of the plain kind."""
    for found in _BEYOND_REGULAR.finditer(pattern):
        if found["escape"] or found["group"]:
            refuse(found[0], place, "Only plain groups, classes and repetitions can be enforced.")


def _types(schema: Mapping[str, Any], place: str) -> set[str]:
    named = schema.get("type", [])
    types = {named} if isinstance(named, str) else set(named)
    if strange := types - _TYPES:
        refuse(f"type {min(map(str, strange))}", f"{place}/type")
    return types


def _check_strings(schema: Mapping[str, Any], types: set[str], place: str) -> None:
    used = [name for name in _STRINGS if name in schema]
    if used and "string" not in types:
        refuse(used[0], f"{place}/{used[0]}", 'It needs "type": "string" beside it.')
    if len(used) > 1 and set(used) != {"minLength", "maxLength"}:
        refuse(used[0], f"{place}/{used[0]}", f"It cannot be combined with {used[-1]}.")
    if "pattern" in schema:
        check_pattern(str(schema["pattern"]), f"{place}/pattern")
    if schema.get("format", "date") not in _FORMATS:
        advice = f"Known formats: {', '.join(sorted(_FORMATS))}."
        refuse(f"format {schema['format']}", f"{place}/format", advice)


def _check_bounds(schema: Mapping[str, Any], types: set[str], place: str) -> None:
    for name in _BOUNDS:
        if name not in schema:
            continue
        if "integer" not in types or "number" in types:
            refuse(name, f"{place}/{name}", 'Only "type": "integer" can be held to bounds.')
        if schema[name] != int(schema[name]):
            refuse(name, f"{place}/{name}", "Give a whole number.")


def _check_objects(schema: Mapping[str, Any], place: str) -> None:
    properties = schema.get("properties", {})
    for name in schema.get("required", []):
        if name not in properties:
            refuse(f"required {name}", f"{place}/required", "Describe it among the properties.")
    if properties and schema.get("additionalProperties", False) is not False:
        advice = "Beside properties it must be false or left out."
        refuse("additionalProperties", f"{place}/additionalProperties", advice)


def _check_arrays(schema: Mapping[str, Any], place: str) -> None:
    if isinstance(schema.get("items"), Sequence):
        refuse("items", f"{place}/items", "A list of schemas is called prefixItems.")
    for name in ("minItems", "maxItems"):
        if name in schema and "items" not in schema and "prefixItems" not in schema:
            refuse(name, f"{place}/{name}", "It needs items beside it.")


def _check_listed(schema: Mapping[str, Any], types: set[str], place: str) -> None:
    """What else is said of a value that is listed, one of the engines does not look at."""
    used = [name for name in _VALUES if name in schema]
    if not used:
        return
    alone(schema, used[0], place)
    values = schema.get("enum", [schema.get("const")])
    for value in values:
        if types and not types & _types_of(value):
            refuse(used[0], f"{place}/{used[0]}", f"{value!r} is not of the type given beside it.")


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


def alone(schema: Mapping[str, Any], name: str, place: str) -> None:
    """Raises InvalidRequest for a limit that stands beside `name`."""
    for other in _LIMITS:
        if other in schema and other != name:
            refuse(name, f"{place}/{name}", f"It cannot be combined with {other}.")


def refuse(part: str, place: str, advice: str = "") -> NoReturn:
    """Raises InvalidRequest, which says what to do instead: leave it out, without `advice`."""
    raise InvalidRequest(
        "%(part)s at %(place)s cannot be enforced. %(advice)s",
        part=part,
        place=place,
        advice=advice or "Leave it out.",
    )
