"""Schemas: closing and bounding keep what authors said; bombs and strangers are refused."""

from __future__ import annotations

from typing import Any

import pytest

from localassist.clock import monotonic
from localassist.tools.schema import (
    MAX_ARRAY_ITEMS,
    MAX_INTEGER,
    MAX_STRING_LENGTH,
    SchemaProblem,
    check,
    closed,
    value_problem,
)


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


def test_objects_are_closed_and_open_ends_bounded() -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "tags": {"type": "array", "items": {"type": "string", "maxLength": 3}},
            "count": {"type": "integer", "minimum": 0},
            "place": {"type": "object", "properties": {"x": {"type": "number"}}},
        },
    }
    assert closed(schema, is_root=True) == {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": MAX_STRING_LENGTH},
            "tags": {
                "type": "array",
                "items": {"type": "string", "maxLength": 3},
                "maxItems": MAX_ARRAY_ITEMS,
            },
            "count": {"type": "integer", "minimum": 0, "maximum": MAX_INTEGER},
            "place": {
                "type": "object",
                "properties": {"x": {"type": "number"}},
                "additionalProperties": False,
            },
        },
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": True}, "additionalProperties": True},
        {"allOf": [{"properties": {"a": True}}, {"properties": {"b": True}}]},
        {"properties": {"a": True}, "anyOf": [{"properties": {"b": True}}]},
        {"type": "object", "patternProperties": {"^x": True}},
        {"type": "string", "pattern": "^a*$"},
        {"type": "string", "enum": ["a"]},
        {"not": {"type": "string"}},
    ],
)
def test_what_the_author_said_stays(schema: dict[str, Any]) -> None:
    assert closed(schema, is_root=True) == schema


def test_root_without_properties_takes_no_arguments_but_a_nested_one_takes_any() -> None:
    root = closed({"type": "object", "properties": {"a": {"type": "object"}}}, is_root=True)
    assert root["properties"]["a"] == {"type": "object"}
    assert closed({"type": "object"}, is_root=True)["additionalProperties"] is False


@pytest.mark.parametrize(
    ("schema", "path", "keyword"),
    [
        ({"properties": {"a": {"type": "strange"}}}, ("properties", "a"), "type"),
        ({"properties": 3}, (), "properties"),
        ({"properties": {"a": {"$ref": "http://x/y"}}}, ("properties", "a"), "$ref"),
        ({"required": "a"}, (), "required"),
    ],
)
def test_malformed_schemas_are_refused_by_path(
    schema: dict[str, Any], path: tuple[str, ...], keyword: str
) -> None:
    with pytest.raises(SchemaProblem) as refusal:
        check(schema)
    assert (refusal.value.path, refusal.value.keyword) == (path, keyword)


@pytest.mark.parametrize(
    "bomb",
    [
        nested(40),
        nested(5000),
        {"enum": list(range(200_000))},
        {"enum": ["x" * 300_000]},
        {"properties": {f"p{index}": {"type": "string"} for index in range(20_000)}},
    ],
)
def test_bombs_are_refused_quickly(bomb: dict[str, Any]) -> None:
    started = monotonic()
    with pytest.raises(SchemaProblem):
        check(bomb)
    assert monotonic() - started < 10


def test_value_problem_names_the_place() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "array", "items": {"type": "integer"}}},
    }
    assert value_problem(schema, '{"a": [1, 2]}') is None
    assert "['a'][1]" in str(value_problem(schema, '{"a": [1, "x"]}'))
    assert "JSON" in str(value_problem(schema, "{"))


def test_value_problem_runs_no_regular_expressions() -> None:
    schema = {"type": "string", "pattern": "^(a+)+$"}
    started = monotonic()
    assert value_problem(schema, '"' + "a" * 64 + '!"') is None
    assert monotonic() - started < 10


def test_text_nested_too_deeply_is_a_problem_and_no_crash() -> None:
    assert "not valid JSON" in (value_problem({}, "[" * 100_000) or "")
