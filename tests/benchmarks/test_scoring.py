import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.tools.scoring import RIGHT, Call, value_is_allowed, verdict


def function(name: str = "f", required: tuple[str, ...] = (), **kinds: Any) -> dict[str, Any]:
    properties = {key: k if isinstance(k, dict) else {"type": k} for key, k in kinds.items()}
    return {
        "name": name,
        "parameters": {"type": "dict", "properties": properties, "required": list(required)},
    }


def call(name: str = "f", **values: Any) -> Call:
    return Call(name, json.dumps(values))


PLACE = function(required=("city",), city="string", days="integer")
WANTED = [{"f": {"city": ["Rome", "Rome, Italy"], "days": ["", 3]}}]


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (call(city="Rome"), RIGHT),
        (call(city="ROME ITALY", days=3), RIGHT),
        (call(city="Paris"), "value: city"),
        (call(city="Rome", days=4), "value: days"),
        (call(city="Rome", days="3"), "value: days"),
        (call(days=3), "missing: city"),
        (call(city="Rome", unit="C"), "unexpected: unit"),
        (call("g", city="Rome"), "function"),
        (Call("f", '{"city": "Rome"'), "no JSON object"),
        (Call("f", '["Rome"]'), "no JSON object"),
    ],
)
def test_a_call_is_right_or_what_is_wrong_is_said(made: Call, expected: str) -> None:
    assert verdict([made], [PLACE, function("g")], WANTED) == expected


def test_what_may_not_be_left_out_is_missing_though_the_schema_does_not_require_it() -> None:
    wanted = [{"f": {"city": ["Rome"], "days": [3]}}]
    assert verdict([call(city="Rome")], [PLACE], wanted) == "missing: days"


def test_where_nothing_is_wanted_any_call_is_wrong() -> None:
    assert verdict([], [PLACE], []) == RIGHT
    assert verdict([call(city="Rome")], [PLACE], []) == "called"


def test_the_number_of_calls_counts() -> None:
    assert verdict([], [PLACE], WANTED) == "no call"
    assert verdict([call(city="Rome")] * 2, [PLACE], WANTED) == "number of calls"


@given(st.permutations(range(4)))
def test_several_calls_come_in_any_order(order: list[int]) -> None:
    wanted = [{"f": {"city": [f"C{i}"], "days": [i]}} for i in range(4)]
    made = [call(city=f"C{i}", days=i) for i in order]
    assert verdict(made, [PLACE], wanted) == RIGHT
    assert verdict([made[0], *made[:3]], [PLACE], wanted) != RIGHT


@pytest.mark.parametrize(
    ("value", "declared", "allowed", "expected"),
    [
        (5, {"type": "float"}, [5.0], True),
        (5.0, {"type": "float"}, [5], True),
        (5.0, {"type": "integer"}, [5], False),
        (True, {"type": "integer"}, [1], False),
        (1, {"type": "boolean"}, [True], False),
        ("don't", {"type": "string"}, ['DON"T.'], True),
        ("2024/05/01", {"type": "string"}, ["2024-05-01"], True),
        ("a+b", {"type": "string"}, ["ab"], False),
        ("5", {"type": "any"}, ["5"], True),
        # An answer of another type than declared is a variable's name, and taken literally.
        ("start", {"type": "integer"}, ["start"], True),
        ("Start", {"type": "integer"}, ["start"], False),
        (
            ["Big Cat", "dog"],
            {"type": "array", "items": {"type": "string"}},
            [["bigcat", "Dog"]],
            True,
        ),
        (["dog", "cat"], {"type": "array", "items": {"type": "string"}}, [["cat", "dog"]], False),
        ([1, 2.5], {"type": "array", "items": {"type": "float"}}, [[1.0, 2.5]], True),
        (["1"], {"type": "array", "items": {"type": "integer"}}, [[1]], False),
        ([[1, 2]], {"type": "array", "items": {"type": "array"}}, [[[1, 2]]], True),
        ([], {"type": "array", "items": {"type": "string"}}, [["a"]], False),
        ({"a": "X Y"}, {"type": "dict"}, [{"a": ["xy"], "b": ["", 2]}], True),
        ({"a": "xy"}, {"type": "dict"}, [{"a": ["xy"], "b": [2]}], False),
        ({"a": "xy", "c": 1}, {"type": "dict"}, [{"a": ["xy"]}], False),
        ([{"a": 1}], {"type": "array", "items": {"type": "dict"}}, [[{"a": [1, 2]}]], True),
        ([{"a": 1}, {"a": 1}], {"type": "array", "items": {"type": "dict"}}, [[{"a": [1]}]], False),
        ("", {"type": "string"}, ["", "x"], True),
    ],
)
def test_values_are_compared_by_their_declared_type(
    value: Any, declared: Mapping[str, Any], allowed: list[Any], expected: bool
) -> None:
    assert value_is_allowed(value, declared, allowed) is expected


@given(
    st.text(alphabet="abcXYZ19", min_size=1),
    st.lists(st.tuples(st.integers(0, 30), st.sampled_from(" ,./-_*^"))),
)
def test_ignored_characters_make_no_difference(text: str, marks: list[tuple[int, str]]) -> None:
    written = text.swapcase()
    for place, mark in marks:
        written = written[:place] + mark + written[place:]
    declared = {"type": "string"}
    assert value_is_allowed(written, declared, [text])
    assert not value_is_allowed(written + "!", declared, [text])
