"""Questions about JSON schemas that need more than one place of them: references, overlaps, bounds.

Knows no grammar engine, and trusts nothing: schemas come from clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any
from urllib.parse import unquote

# Beyond this, JSON numbers lose their last digits.
_LARGEST = 999_999_999_999_999


def resolve(schema: Any, root: Mapping[str, Any]) -> Any:
    """What `schema` is after its references into `root`; None when they lead nowhere."""
    for _ in range(16):
        if not isinstance(schema, Mapping) or "$ref" not in schema:
            return schema
        schema = _pointed(str(schema["$ref"]), root)
    return None


def _pointed(reference: str, root: Any) -> Any:
    if reference == "#":
        return root
    if not reference.startswith("#/"):
        return None
    for part in unquote(reference[2:]).split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(root, Mapping) and key in root:
            root = root[key]
        elif isinstance(root, list) and key.isdigit() and int(key) < len(root):
            root = root[int(key)]
        else:
            return None
    return root


def are_disjoint(parts: Sequence[Any], root: Mapping[str, Any]) -> bool:
    """Surely no value fits two of the parts. False when that cannot be seen."""
    resolved = [resolve(part, root) for part in parts]
    return all(_apart(first, second, root) for first, second in combinations(resolved, 2))


def _apart(first: Any, second: Any, root: Mapping[str, Any]) -> bool:
    if not isinstance(first, Mapping) or not isinstance(second, Mapping):
        return False
    one, other = _kinds(first), _kinds(second)
    if one and other and not one & other:
        return True
    listed, also = _listed(first, root), _listed(second, root)
    if listed is not None and also is not None:
        return not any(value in also for value in listed)
    shared = set(first.get("required", [])) & set(second.get("required", []))
    return any(
        _apart(first["properties"][name], second["properties"][name], root)
        for name in shared
        if name in first.get("properties", {}) and name in second.get("properties", {})
    )


def _kinds(schema: Mapping[str, Any]) -> set[str]:
    named = schema.get("type", [])
    kinds = {named} if isinstance(named, str) else set(named)
    return kinds | {"integer"} if "number" in kinds else kinds


def _listed(schema: Any, root: Mapping[str, Any]) -> list[Any] | None:
    found = resolve(schema, root)
    if not isinstance(found, Mapping):
        return None
    if "const" in found:
        return [found["const"]]
    values = found.get("enum")
    return list(values) if isinstance(values, list) else None


def with_closed_bounds(schema: Any) -> Any:
    """The schema with both bounds wherever an integer has one: xgrammar holds only such exactly."""
    if isinstance(schema, list):
        return [with_closed_bounds(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    closed = {name: with_closed_bounds(value) for name, value in schema.items()}
    below = {"minimum", "exclusiveMinimum"} & schema.keys()
    above = {"maximum", "exclusiveMaximum"} & schema.keys()
    # A property that is called minimum has a schema, not a number.
    if below and not above and all(isinstance(schema[name], int) for name in below):
        closed["maximum"] = _LARGEST
    if above and not below and all(isinstance(schema[name], int) for name in above):
        closed["minimum"] = -_LARGEST
    return closed
