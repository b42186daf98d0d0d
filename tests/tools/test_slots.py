"""Slots: what may fill an argument, each piece of the question used once."""

from __future__ import annotations

import json
from typing import Any

import llguidance
import pytest

from localassist.core import ToolSpec
from localassist.tools.slots import Sheet, lacks_numbers, shortened, simplified


def accepts(grammar: str, value: Any) -> bool:
    tokenizer = llguidance.LLTokenizer("byte")
    lark = llguidance.LLMatcher.grammar_from_lark(grammar)
    matcher = llguidance.LLMatcher(tokenizer, lark, log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    tokens = tokenizer.tokenize_str(f" {json.dumps(value, ensure_ascii=False)}}}")
    return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()


def test_numbers_are_used_once() -> None:
    sheet = Sheet("a triangle with base 10 and height 5")
    number = {"type": "integer"}
    first = sheet.propose("base", number, required=True)
    assert first is not None
    assert [value for value in (5, 10, 15) if accepts(first.grammar, value)] == [5, 10]
    sheet.take("base", number, 10)
    second = sheet.propose("height", number, required=True)
    assert second is not None and second.is_settled and second.value == 5
    sheet.take("height", number, 5)
    assert sheet.propose("depth", number, required=False) is None


def test_numbers_outside_the_schema_are_no_candidates() -> None:
    proposal = Sheet("17 or 3").propose("n", {"type": "integer", "maximum": 10}, required=True)
    assert proposal is not None and proposal.is_settled and proposal.value == 3


def test_texts_are_stretches_of_the_question() -> None:
    proposal = Sheet('Weather in "São Tomé"?').propose("city", {"type": "string"}, required=True)
    assert proposal is not None
    assert accepts(proposal.grammar, "São Tomé")
    assert not accepts(proposal.grammar, "Paris")


def test_a_limit_does_not_hide_the_question() -> None:
    city = {"type": "string", "maxLength": 80}
    proposal = Sheet("Weather in Oslo").propose("city", city, required=True)
    assert proposal is not None
    assert accepts(proposal.grammar, "Oslo") and not accepts(proposal.grammar, "Paris")


def test_values_from_a_list_are_taken_when_named() -> None:
    unit = {"type": "string", "enum": ["celsius", "fahrenheit"]}
    named = Sheet("Paris in celsius").propose("unit", unit, required=False)
    assert named is not None and named.is_settled and named.value == "celsius"
    assert Sheet("Paris").propose("unit", unit, required=False) is None
    forced = Sheet("Paris").propose("unit", unit, required=True)
    assert forced is not None and accepts(forced.grammar, "fahrenheit")


def test_dates_are_rewritten() -> None:
    day = {"type": "string", "description": "Date as YYYY-MM-DD"}
    proposal = Sheet("from March 3rd, 2021").propose("start_date", day, required=True)
    assert proposal is not None and proposal.value == "2021-03-03"


def test_an_only_optional_text_takes_the_name_in_the_question() -> None:
    sheet = Sheet("Please tell me the battle strength of Mamezou")
    proposal = sheet.propose("name", {"type": "string"}, required=False)
    assert proposal is not None and proposal.value == "Mamezou"
    sheet.take("name", {"type": "string"}, "Mamezou")
    assert sheet.propose("title", {"type": "string"}, required=False) is None


@pytest.mark.parametrize(
    ("schema", "fitting", "unfitting"),
    [
        ({"type": "boolean"}, True, "yes"),
        ({"type": "array", "items": {"type": "integer"}}, [4, 2], [7]),
        ({"type": "array", "items": {"enum": ["a", "b"]}}, ["b"], ["c"]),
        ({"type": "array", "maxItems": 2, "items": {"type": "string"}}, ["mix"], ["mix"] * 3),
        (
            {"type": "object", "properties": {"x": {"type": "integer"}, "y": {"type": "string"}}},
            {"x": 2, "y": "mix"},
            {"x": 3, "y": "mix"},
        ),
        ({"type": "string", "pattern": "^[A-Z]{3}$"}, "EUR", "mix"),
        ({"type": ["string", "null"]}, "mix", None),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, 7, None),
        ({"$ref": "#/$defs/code"}, "A1", "a1"),
    ],
)
def test_nested_values(schema: dict[str, Any], fitting: Any, unfitting: Any) -> None:
    code = {"type": "string", "pattern": "^[A-Z][0-9]$"}
    sheet = Sheet("mix 4 and 2", {"$defs": {"code": code}})
    proposal = sheet.propose("value", schema, required=True)
    assert proposal is not None and not proposal.is_settled
    assert accepts(proposal.grammar, fitting)
    assert not accepts(proposal.grammar, unfitting)


def test_grammar_only_ignores_the_question() -> None:
    proposal = Sheet("mix").grammar_only({"type": "string"})
    assert accepts(proposal.grammar, "anything")


def test_nullable_schemas_lose_their_null() -> None:
    optional = {"anyOf": [{"type": "string"}, {"type": "null"}], "description": "d"}
    assert simplified(optional) == {"type": "string", "description": "d"}


def test_open_ends_are_shortened_and_limits_kept() -> None:
    schema = {"type": "array", "minItems": 9, "items": {"type": "string", "maxLength": 5}}
    assert shortened(schema) == {
        "type": "array",
        "minItems": 9,
        "maxItems": 9,
        "items": {"type": "string", "maxLength": 5},
    }


def test_missing_numbers_count_only_required_ones() -> None:
    number = {"type": "number"}
    properties = {"a": number, "b": number, "c": number}
    tool = ToolSpec("f", parameters={"properties": properties, "required": ["a", "b"]})
    assert lacks_numbers(tool, "only 1")
    assert not lacks_numbers(tool, "now 1 and 2")
