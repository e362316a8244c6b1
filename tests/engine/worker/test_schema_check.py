"""What a schema may say is held by llguidance as written; the rest is refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from appliance.engine.worker.backends.grammar import GrammarCompiler
from appliance.engine.worker.forms import JsonSchema, Regex, ToolCalls
from appliance.engine.worker.schema_check import check_form, check_schema
from appliance.engine.worker.schema_unions import with_closed_bounds
from appliance.errors import InvalidRequest
from tests.engine.worker.matching import takes

STRING, INTEGER = {"type": "string"}, {"type": "integer"}


def thing(**rest: Any) -> dict[str, Any]:
    return {"type": "object"} | rest


def tagged(kind: str, value: Any) -> dict[str, Any]:
    return thing(properties={"kind": {"const": kind}, "v": value}, required=["kind", "v"])


HELD: list[tuple[dict[str, Any], list[Any], list[Any]]] = [
    ({"type": ["string", "null"]}, ["a", None], [1]),
    ({"enum": ["a", 1, None]}, ["a", 1, None], ["b", 2]),
    ({"type": "string", "minLength": 2, "maxLength": 3}, ["äö"], ["a", "abcd"]),
    ({"type": "string", "pattern": "^[a-z]+$"}, ["abc"], ["ab1", ""]),
    ({"type": "string", "format": "date"}, ["2020-01-31"], ["x", "2020-13-01"]),
    ({"type": "string", "format": "uuid"}, ["123e4567-e89b-12d3-a456-426614174000"], ["x"]),
    ({"type": "integer", "minimum": 3}, [3, 40], [2, -1]),
    ({"type": "integer", "exclusiveMinimum": 3, "maximum": 17}, [4, 17], [3, 18]),
    ({"type": "array", "items": INTEGER, "minItems": 1, "maxItems": 2}, [[1]], [[], [1, 2, 3]]),
    (
        {"type": "array", "prefixItems": [INTEGER, STRING], "items": False},
        [[1, "a"]],
        [["a", 1], [1, "a", 2]],
    ),
    (
        thing(properties={"a": INTEGER, "b": STRING}, required=["a"], additionalProperties=False),
        [{"a": 1}, {"a": 1, "b": "x"}],
        [{}, {"b": "x"}, {"a": 1, "c": 2}],
    ),
    (thing(additionalProperties=INTEGER), [{"b": 1}], [{"b": "x"}]),
    ({"anyOf": [INTEGER, STRING], "title": "t", "default": 1}, [1, "a"], [None]),
    ({"oneOf": [tagged("x", INTEGER), tagged("y", STRING)]}, [{"kind": "x", "v": 1}],
     [{"kind": "x", "v": "a"}]),
    (
        {"$ref": "#/$defs/n", "$defs": {"n": thing(properties={"c": {"$ref": "#/$defs/n"}})}},
        [{"c": {"c": {}}}],
        [{"c": 1}],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "good", "bad"), HELD)
def test_what_passes_is_held(
    compiler: GrammarCompiler, schema: dict[str, Any], good: list[Any], bad: list[Any]
) -> None:
    compiler.check(JsonSchema(schema))
    assert [value for value in good if not fits(compiler, schema, value)] == []
    assert [value for value in bad if fits(compiler, schema, value)] == []


def fits(compiler: GrammarCompiler, schema: dict[str, Any], value: Any) -> bool:
    return takes(compiler, JsonSchema(schema), json.dumps(value, ensure_ascii=False))


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"not": INTEGER}, "not at #/not"),
    (thing(properties={"a/b": {"type": "array", "items": INTEGER, "uniqueItems": True}}),
     "uniqueItems at #/properties/a~1b/uniqueItems"),
    ({"anyOf": [STRING, {"type": "number", "minimum": 1}]}, "minimum at #/anyOf/1/minimum"),
    ({"minimum": 1}, "minimum at #/minimum"),
    ({"type": "integer", "multipleOf": 5}, "multipleOf at #/multipleOf"),
    ({"pattern": "a"}, "pattern at #/pattern"),
    ({"type": "string", "pattern": "a", "maxLength": 3}, "maxLength at #/maxLength"),
    ({"type": "string", "pattern": "(?=a)b"}, "(?=a at #/pattern"),
    ({"type": "string", "format": "regex"}, "format regex at #/format"),
    ({"type": "string", "enum": ["a", 1]}, "enum at #/enum"),
    (thing(required=["z"]), "required z at #/required"),
    (thing(properties={"a": STRING}, additionalProperties=True), "additionalProperties at #/"),
    (thing(properties={"a": False}), "False at #/properties/a"),
    ({"oneOf": [INTEGER, {"type": "number"}]}, "oneOf at #/oneOf"),
    ({"allOf": [INTEGER, {"enum": [1]}]}, "allOf at #/allOf"),
    (thing(anyOf=[{"required": []}]), "anyOf at #/anyOf"),
    ({"$ref": "#/$defs/no"}, "$ref #/$defs/no at #/$ref"),
    ({"$ref": "https://example.org/a"}, "$ref https://example.org/a"),
    ({"type": "array", "items": [INTEGER]}, "items at #/items"),
    ({"type": "array", "minItems": 2}, "minItems at #/minItems"),
    ({"type": "thing"}, "type thing at #/type"),
    ({"type": 5}, "malformed"),
    ({"type": "object", "properties": [1]}, "malformed"),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "words"), REFUSED)
def test_what_is_not_held_is_refused_by_name_and_place(schema: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_schema(schema)
    assert words in str(refused.value)


def test_a_schema_without_end_is_refused() -> None:
    schema: dict[str, Any] = STRING
    for _ in range(100):
        schema = {"type": "array", "items": schema}
    with pytest.raises(InvalidRequest, match="nesting"):
        check_schema(schema)


def test_arguments_of_tools_and_patterns_are_checked_too() -> None:
    with pytest.raises(InvalidRequest, match="not at weather#/not"):
        check_form(ToolCalls((("weather", {"not": {}}),), many=False))
    with pytest.raises(InvalidRequest, match="the pattern"):
        check_form(Regex(r"(a)\1"))
    check_form(Regex(r"(?:a|b)+\d{2}\."))


def test_one_bound_is_closed_by_another() -> None:
    schema = thing(properties={"minimum": {"type": "integer", "minimum": 3}})
    closed = with_closed_bounds(schema)["properties"]["minimum"]
    assert closed == {"type": "integer", "minimum": 3, "maximum": 999_999_999_999_999}
    both = {"type": "integer", "exclusiveMinimum": 1, "maximum": 5}
    assert with_closed_bounds(both) == both
