"""Bombs, strangers and impossible schemas: refused by name, or harmless; never a hang."""

from __future__ import annotations

from typing import Any

import pytest

from localassist.clock import monotonic
from localassist.core import ToolSpec
from localassist.engine.grammar import validate_grammar
from localassist.errors import GrammarRejected
from localassist.tools.grammar import check_schema, check_tools
from localassist.tools.schema import SchemaProblem, value_problem

TEXT = {"type": "string"}


def laughs(keyword: str, levels: int, width: int) -> dict[str, Any]:
    """A schema that is small, and enormous once its references are written out."""
    defs: dict[str, Any] = {"l0": TEXT}
    for level in range(1, levels):
        defs[f"l{level}"] = {keyword: [{"$ref": f"#/$defs/l{level - 1}"} for _ in range(width)]}
    return {"$ref": f"#/$defs/l{levels - 1}", "$defs": defs}


def chain(links: int) -> dict[str, Any]:
    defs: dict[str, Any] = {f"l{links}": TEXT}
    for link in range(links):
        defs[f"l{link}"] = {"type": "array", "items": {"$ref": f"#/$defs/l{link + 1}"}}
    return {"$ref": "#/$defs/l0", "$defs": defs}


def nested_lists(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "array", "minItems": 1000}
    for _ in range(levels):
        schema = {"type": "array", "minItems": 1000, "items": schema}
    return schema


REFUSED = {
    "conjunctions": (laughs("allOf", 20, 10), "$ref"),
    "choices": (laughs("anyOf", 20, 10), "$ref"),
    "exclusive choices": (laughs("oneOf", 12, 10), "$ref"),
    "a long chain": (chain(1500), "$ref"),
    "itself": ({"$ref": "#"}, "$ref"),
    "a circle": ({"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#"}]}}}, "$ref"),
    "no way out": ({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}, None),
    "a million items": ({"type": "array", "minItems": 10**6}, "minItems"),
    "lists of lists": (nested_lists(2), "minItems"),
    "a million characters": ({"type": "string", "minLength": 10**6}, "minLength"),
    "many patterns": ({"allOf": [{"pattern": f".*{c}.*"} for c in "abcdefghijklmnop"]}, "allOf"),
    "a huge pattern": ({"type": "string", "pattern": "^(a{1000}){1000}$"}, "pattern"),
    "no pattern": ({"type": "string", "pattern": "(["}, "pattern"),
    "nowhere": ({"$ref": "#/$defs/none"}, "$ref"),
    "elsewhere": ({"$ref": "https://example.org/schema.json"}, "$ref"),
    "a file": ({"$ref": "file:///nowhere"}, "$ref"),
    "elsewhere, dynamically": ({"$dynamicRef": "https://example.org/x#y"}, "$dynamicRef"),
    "another name inside": ({"items": {"$id": "https://example.org/x", "type": "null"}}, "$id"),
    "unknown dialect": ({"$schema": "https://example.org/dialect"}, "$schema"),
    "no dialect": ({"$schema": 5}, "$schema"),
    "crossed bounds": ({"type": "integer", "minimum": 5, "maximum": 1}, "minimum"),
    "crossed lengths": ({"type": "string", "minLength": 5, "maxLength": 1}, "minLength"),
    "nothing to choose": ({"enum": []}, "enum"),
    "infinity": ({"type": "number", "maximum": float("inf")}, "maximum"),
    "not a number": ({"type": "number", "minimum": float("nan")}, "minimum"),
    "half a character": ({"type": "string", "pattern": "\ud800"}, None),
    "65 bits": ({"type": "integer", "minimum": 2**64}, "minimum"),
    "required twice": ({"type": "object", "required": ["a", "a"]}, "required"),
    "required and not there": (
        {"type": "object", "required": ["b"], "additionalProperties": False},
        "required",
    ),
    "50,000 values": ({"enum": list(range(50_000))}, None),
}


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused_quickly_and_by_its_keyword(name: str) -> None:
    schema, keyword = REFUSED[name]
    started = monotonic()
    with pytest.raises(SchemaProblem) as refusal:
        check_schema(schema, validate_grammar)
    assert monotonic() - started < 10
    if keyword is not None:
        assert refusal.value.keyword == keyword


HARMLESS: dict[str, dict[str, Any]] = {
    "a wide tree of references": {
        "$ref": "#/$defs/l29",
        "$defs": {
            "l0": TEXT,
            **{
                f"l{n}": {"properties": {f"p{i}": {"$ref": f"#/$defs/l{n - 1}"} for i in range(9)}}
                for n in range(1, 30)
            },
        },
    },
    "no end to a text": {"type": "string", "maxLength": 10**9},
    "no end to a list": {"type": "array", "items": TEXT, "maxItems": 10**9},
    "false": {"type": "object", "properties": {"a": False}},
    "true": {"type": "object", "properties": {"a": True}},
    "odd keys": {"type": "object", "properties": {'a"b': TEXT, "c\nd": TEXT, "": TEXT, "日": TEXT}},
    "odd constant": {"const": {"a": [1, None, {"b": 1e100}]}},
    "64 bits": {"type": "integer", "minimum": -(2**63), "maximum": 2**64 - 1},
    "far bounds": {"type": "number", "minimum": -1e308, "maximum": 1e308},
    "a greedy matcher's nightmare": {"type": "string", "pattern": "^(a+)+$"},
    "foreign options": {"x-guidance": {"lenient": True}, "items": {"x-guidance": 5}},
}


@pytest.mark.parametrize(
    "foreign",
    [
        {"if": {"minimum": "x", "maximum": 1}},
        {"prefixItems": 5, "minItems": 3, "type": "array"},
        {"$defs": {"a": {"minLength": "x", "type": "string"}}},
        {"const": 1, "dependentSchemas": 7},
        {"$defs": {"a": {"enum": 5}}, "$ref": "#/$defs/a"},
        {"$defs": 5, "propertyNames": [1]},
    ],
)
def test_keywords_that_a_dialect_does_not_know_crash_nothing(foreign: dict[str, Any]) -> None:
    schema = {"$schema": "http://json-schema.org/draft-04/schema#", **foreign}
    try:
        check_schema(schema, validate_grammar)
    except SchemaProblem as problem:
        assert problem.reason


@pytest.mark.parametrize("name", HARMLESS)
def test_is_enforced(name: str) -> None:
    started = monotonic()
    check_schema(HARMLESS[name], validate_grammar)
    assert monotonic() - started < 10


def test_a_tool_nested_without_end_is_refused_by_name() -> None:
    schema: dict[str, Any] = {}
    for _ in range(5000):
        schema = {"properties": {"a": schema}}
    with pytest.raises(GrammarRejected, match="'deep'") as refusal:
        check_tools([ToolSpec("deep", "", schema)], validate_grammar)
    assert refusal.value.code == "invalid_function_parameters"


def test_many_large_tools_are_refused_together() -> None:
    properties = {f"argument_{n}": {"type": "string"} for n in range(60)}
    tools = [
        ToolSpec(f"f{n}", "", {"properties": {**properties, f"own_{n}": TEXT}}) for n in range(128)
    ]
    started = monotonic()
    with pytest.raises(GrammarRejected, match="too large together") as refusal:
        check_tools(tools, validate_grammar)
    assert refusal.value.param == "tools"
    assert monotonic() - started < 20


def test_what_was_found_is_remembered_also_refusals() -> None:
    asked: list[str] = []

    def validate(grammar: str) -> None:
        asked.append(grammar)
        validate_grammar(grammar)

    tools = [ToolSpec(f"f{n}", "", {"properties": {f"a{n}": TEXT}}) for n in range(3)]
    check_tools(tools, validate)
    assert len(asked) == 4  # each by itself, and all together
    check_tools(tools, validate)
    assert len(asked) == 4
    broken = {"type": "integer", "multipleOf": 10**15 + 37}
    for _ in range(2):
        with pytest.raises(SchemaProblem) as refusal:
            check_schema(broken, validate)
        assert refusal.value.keyword == "multipleOf"
        count, asked = len(asked), []
    assert count == 0


def test_a_value_is_checked_in_no_time_whatever_its_schema_refers_to() -> None:
    schema = HARMLESS["a wide tree of references"]
    assert value_problem(schema, '{"p0": {"p1": {}}}') is None
    assert value_problem(schema, '{"p0": {"p1": 5}}') is None
