"""Grammars of tools and response formats, compiled and matched by the real grammar engine."""

from __future__ import annotations

import json
from typing import Any

import pytest

from localassist.chat.formats import ToolChoice
from localassist.chat.formats.hermes import HERMES
from localassist.clock import monotonic
from localassist.core import Constraint, ToolSpec
from localassist.engine.grammar import validate_grammar
from localassist.errors import GrammarRejected, InvalidRequest
from localassist.tools.grammar import (
    answer_rule,
    arguments_problem,
    check_schema,
    check_tools,
    response_constraint,
)
from localassist.tools.schema import SchemaProblem, value_problem
from tests.grammars import accepts

WEATHER = ToolSpec(
    "get_weather",
    "Weather of a city.",
    {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer", "maximum": 14}},
        "required": ["city"],
    },
)
ADD = ToolSpec(
    "add",
    "Sum.",
    {
        "type": "object",
        "properties": {"x": {"$ref": "#/$defs/n"}, "y": {"$ref": "#/properties/x"}},
        "required": ["x", "y"],
        "$defs": {"n": {"type": "number"}},
    },
)
TOOLS = [WEATHER, ADD]


def written(name: str, arguments: dict[str, Any]) -> str:
    body = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{body}\n</tool_call>"


PARIS = written("get_weather", {"city": "São Tomé 東京", "days": 3})
SUM = written("add", {"x": 1, "y": 2.5})
TEXT = "Hello < 5 {x} there,\nhow are you?"


def constraint(mode: str, *, parallel: bool = True, answer: str | None = None) -> Constraint | None:
    choice = ToolChoice("named", mode) if mode == "add" else ToolChoice(mode)  # type: ignore[arg-type]
    tools = check_tools(TOOLS, validate_grammar)
    return HERMES.constraint(tools, choice, parallel=parallel, answer=answer)


@pytest.mark.parametrize(
    ("mode", "parallel", "allowed"),
    [
        ("auto", True, {"text", "call", "text and call", "two calls", "other call"}),
        ("auto", False, {"text", "call", "text and call", "other call"}),
        ("required", True, {"call", "two calls", "other call"}),
        ("required", False, {"call", "other call"}),
        ("add", True, {"other call"}),
        ("none", True, {"text"}),
    ],
)
def test_each_choice_allows_just_its_turns(mode: str, parallel: bool, allowed: set[str]) -> None:
    turns = {
        "text": TEXT,
        "call": PARIS,
        "other call": SUM,
        "text and call": f"I will look it up.\n{PARIS}",
        "two calls": f"{PARIS}\n{SUM}",
        "bad argument": written("get_weather", {"city": "Paris", "days": 30}),
        "unknown argument": written("get_weather", {"city": "Paris", "unit": "c"}),
        "unknown tool": written("rm_rf", {}),
        "cut off": PARIS[:-3],
    }
    grammar = constraint(mode, parallel=parallel)
    assert {name for name, turn in turns.items() if accepts(grammar, turn)} == allowed


def test_an_answer_rule_replaces_free_text() -> None:
    grammar = constraint("auto", answer=answer_rule({"type": "json_object"}, validate_grammar))
    assert accepts(grammar, '{"a": 1}')
    assert accepts(grammar, PARIS)
    assert not accepts(grammar, TEXT)


def test_no_tools_leave_the_turn_free() -> None:
    assert HERMES.constraint([], ToolChoice(), parallel=True) is None


def test_a_named_tool_has_to_be_there() -> None:
    with pytest.raises(InvalidRequest, match="nowhere"):
        HERMES.constraint(TOOLS, ToolChoice("named", "nowhere"), parallel=True)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ToolChoice("auto")),
        ("required", ToolChoice("required")),
        ({"type": "function", "function": {"name": "none"}}, ToolChoice("named", "none")),
        ({"type": "file_search"}, ToolChoice("auto")),
    ],
)
def test_tool_choice_from_the_wire(value: Any, expected: ToolChoice) -> None:
    assert ToolChoice.from_wire(value) == expected


@pytest.mark.parametrize("parameters", [{}, {"type": "object", "properties": {}}])
def test_a_tool_without_parameters_takes_no_arguments(parameters: dict[str, Any]) -> None:
    tools = check_tools([ToolSpec("ping", parameters=parameters)], validate_grammar)
    grammar = HERMES.constraint(tools, ToolChoice("required"), parallel=False)
    assert accepts(grammar, written("ping", {}))
    assert not accepts(grammar, written("ping", {"a": 1}))


def test_tiers_are_tried_in_order() -> None:
    one_of = {"oneOf": [{"type": "string"}, {"type": "integer"}, {"type": "integer", "minimum": 5}]}
    strict = check_schema({"type": "string"}, validate_grammar)
    coerced = check_schema(one_of, validate_grammar)
    lenient = check_schema({"type": "array", "uniqueItems": True}, validate_grammar)
    assert "x-guidance" not in strict
    assert coerced["x-guidance"] == {"coerce_one_of": True}
    assert lenient["x-guidance"] == {"coerce_one_of": True, "lenient": True}


def test_what_the_grammar_left_out_is_checked_afterwards() -> None:
    numbers = {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}
    tool = ToolSpec("f", parameters={"type": "object", "properties": {"n": numbers}})
    (checked,) = check_tools([tool], validate_grammar)
    assert arguments_problem(checked, '{"n": [1, 2]}') is None
    assert "unique" in str(arguments_problem(checked, '{"n": [1, 1]}'))


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"properties": {"a": {"type": "string", "pattern": "^(?=x)y$"}}}, "properties.a.pattern"),
        ({"properties": {"a": {"type": "strange"}}}, "properties.a.type"),
        (
            {"properties": {"a": {"items": {"type": "string", "pattern": "(?<!x)y"}}}},
            "properties.a.items.pattern",
        ),
        (
            {"$defs": {"d": {"pattern": "a(?!b)"}}, "properties": {"a": {"$ref": "#/$defs/d"}}},
            "$defs.d.pattern",
        ),
        ({"properties": {"a": {"$ref": "#/$defs/none"}}}, "properties.a.$ref"),
    ],
)
def test_refusals_name_tool_path_and_keyword(parameters: dict[str, Any], words: str) -> None:
    started = monotonic()
    with pytest.raises(GrammarRejected) as refusal:
        check_tools([WEATHER, ToolSpec("broken", parameters=parameters)], validate_grammar)
    assert monotonic() - started < 10
    assert "'broken'" in refusal.value.message
    assert f"'{words}'" in refusal.value.message
    assert refusal.value.param == "tools[1].function.parameters"
    assert refusal.value.code == "invalid_function_parameters"


def test_compositions_that_explode_are_refused_quickly() -> None:
    branch = {"anyOf": [{"properties": {f"a{i}": {"type": "string"}}} for i in range(4)]}
    started = monotonic()
    with pytest.raises(SchemaProblem):
        check_schema({"allOf": [branch] * 9}, validate_grammar)
    assert monotonic() - started < 10


def test_response_formats() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    assert response_constraint("auto", validate_grammar) is None
    assert response_constraint({"type": "text"}, validate_grammar) is None
    assert accepts(response_constraint({"type": "json_object"}, validate_grammar), '{"b": [1]}')
    grammar = response_constraint(wanted, validate_grammar)
    assert accepts(grammar, '{"a": 1}')
    assert not accepts(grammar, '{"a": 1, "b": 2}')
    assert grammar is not None and grammar.json_schema is not None
    assert value_problem(grammar.json_schema, '{"a": 1}') is None
    assert value_problem(grammar.json_schema, '{"a": 1, "b": 2}') is not None


def test_response_format_refusal() -> None:
    schema = {"type": "string", "pattern": "(?=x)"}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    with pytest.raises(GrammarRejected, match="'pattern'") as refusal:
        answer_rule(wanted, validate_grammar)
    assert refusal.value.param == "response_format.json_schema.schema"
    assert refusal.value.code == "invalid_json_schema"


@pytest.mark.parametrize("name", ["get_weather", "add"])
def test_calls_round_trip_through_format_and_parser(name: str) -> None:
    from localassist.chat.stream import ArgumentsDelta, CallStarted
    from localassist.core import ToolCall

    text = HERMES.render_calls([ToolCall("call_1", name, '{"x": 1, "y": "ü"}')])
    events = HERMES.parser().feed(text)
    assert events[0] == CallStarted(0, name)
    assert events[1] == ArgumentsDelta(0, '{"x": 1, "y": "ü"}')
