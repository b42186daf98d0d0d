"""Schemas: closing and bounding keep what authors said; bombs and strangers are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from localassist.clock import monotonic
from localassist.tools.schema import (
    MAX_ARRAY_ITEMS,
    MAX_INTEGER,
    MAX_NUMBER,
    MAX_STRING_LENGTH,
    NUMBER_STEP,
    SchemaProblem,
    closed,
    value_problem,
)
from localassist.tools.soundness import check

NUMBER = {"minimum": -MAX_NUMBER, "maximum": MAX_NUMBER, "multipleOf": NUMBER_STEP}


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
                "properties": {"x": {"type": "number", **NUMBER}},
                "additionalProperties": False,
            },
        },
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"allOf": [{"properties": {"a": {"enum": [1]}}}, {"required": ["b"]}]},
        {"properties": {"a": {"enum": [1]}}, "anyOf": [{"required": ["b"]}]},
        {"type": "object", "patternProperties": {"^x": {"const": 1}}},
        {"type": "string", "pattern": "^a*$", "maxLength": 9},
        {"type": "string", "enum": ["a"]},
    ],
)
def test_what_the_author_said_stays(schema: dict[str, Any]) -> None:
    ready = closed(schema, is_root=True)
    assert {key: ready[key] for key in schema} == schema
    assert "additionalProperties" not in ready


def test_root_without_properties_takes_no_arguments_but_a_nested_one_takes_any() -> None:
    root = closed({"type": "object", "properties": {"a": {"type": "object"}}}, is_root=True)
    assert root["properties"]["a"]["patternProperties"]
    assert closed({"type": "object"}, is_root=True)["additionalProperties"] is False


def test_required_names_without_a_property_may_hold_anything() -> None:
    schema = {"type": "object", "properties": {"a": {"enum": [1]}}, "required": ["b"]}
    ready = closed(schema, is_root=True)
    assert list(ready["properties"]) == ["a", "b"]
    assert ready["properties"]["b"]["$ref"].startswith("#/$defs/")


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


def test_regular_expressions_are_checked_in_linear_time() -> None:
    schema = {"type": "string", "pattern": "^(a+)+$"}
    started = monotonic()
    assert value_problem(schema, json.dumps("a" * 64 + "!")) is not None
    assert value_problem(schema, json.dumps("a" * 64)) is None
    assert monotonic() - started < 10


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"format": "date"}, '"2023-02-29"'),
        ({"not": {"pattern": "^x"}}, '"xy"'),
        ({"multipleOf": 0.01}, "1.255"),
        ({"propertyNames": {"pattern": "^[a-z]+$"}}, '{"A": 1}'),
        ({"if": {"required": ["a"]}, "then": {"required": ["b"]}}, '{"a": 1}'),
        ({"dependentRequired": {"a": ["b"]}}, '{"a": 1}'),
        ({"contains": {"const": 1}}, "[2]"),
    ],
)
def test_keywords_beyond_grammars_are_checked(schema: dict[str, Any], text: str) -> None:
    assert value_problem(schema, text) is not None


def test_text_nested_too_deeply_is_a_problem_and_no_crash() -> None:
    assert "not valid JSON" in (value_problem({}, "[" * 100_000) or "")
