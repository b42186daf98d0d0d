"""Whatever the schema, the question and the model: arguments fit, soon, or there is no call."""

from __future__ import annotations

import json
import time
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localassist.core import ToolSpec
from localassist.errors import GenerationFailed
from tests.tools.guided.planning import (
    REQUIRED,
    arguments,
    drawing,
    number,
    plan,
    text,
    texts,
    tool,
)

_QUESTIONS = st.sampled_from(
    [
        "",
        "Book 3 rooms in Rome and 4 in Oslo from May 5 to June 12, 2025, without breakfast.",
        'Mix ["red", "blue"] with 1.5, -7 and 30% of "dark green"; größe ist 12 cm',
        "北京的天气怎么样？ \U0001f984\U0001f984",
        "two small coffees, three teas and a dozen of 1,000,000 at 10:30 for a@b.org",
        "a" * 3000,
    ]
)
_LEAVES = st.sampled_from(
    [
        {"type": "string"},
        {"type": "string", "minLength": 3, "maxLength": 6},
        {"type": "string", "pattern": "^[a-c]{2}$"},
        {"type": "string", "format": "date"},
        {"type": "string", "description": "A date as YYYY-MM-DD."},
        {"type": "string", "enum": ["red", "größe", "tea"]},
        {"type": "integer"},
        {"type": "integer", "minimum": 5, "maximum": 9},
        {"type": "number", "exclusiveMinimum": 2.5},
        {"type": "integer", "multipleOf": 7},
        {"type": ["number", "null"]},
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
        {"type": "boolean"},
        {"const": {"a": [1]}},
        {"enum": [1, "two", None]},
        {"$ref": "#/$defs/pair"},
    ]
)


def _composed(children: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of(
        st.builds(
            lambda item, least, room: {
                "type": "array", "items": item, "minItems": least, "maxItems": least + room,
            },
            children,
            st.integers(0, 2),
            st.integers(0, 3),
        ),
        st.builds(lambda item: {"type": "array", "items": item}, children),
        _objects(children),
    )  # fmt: skip


def _objects(children: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    names = st.sampled_from(["city", "start_date", "count", "is_late", "größe", 'odd "name'])
    return st.builds(
        lambda properties, count: {
            "type": "object",
            "properties": properties,
            "required": list(properties)[:count],
        },
        st.dictionaries(names, children, max_size=4),
        st.integers(0, 4),
    )


_PAIR = {
    "type": "object",
    "properties": {"x": {"type": "integer"}, "y": {"type": "string"}},
    "required": ["x"],
}
_PARAMETERS = _objects(st.recursive(_LEAVES, _composed, max_leaves=4))


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_PARAMETERS, _QUESTIONS, st.integers(0, 2**32))
async def test_arguments_fit_the_schema(
    parameters: dict[str, Any], question: str, seed: int
) -> None:
    whole = {**parameters, "$defs": {"pair": _PAIR}}
    offered = ToolSpec("apply", "Apply it.", whole)
    try:
        calls = (await plan(drawing(seed), question, [offered], REQUIRED)).calls
    except GenerationFailed:
        return  # the walk came to no end within the tokens that a value may take
    assert calls
    for call in calls:
        jsonschema.Draft202012Validator(whole).validate(json.loads(call.arguments))
        assert set(call.evidence) == set(json.loads(call.arguments))


BOOKING = tool(
    "book",
    "Book rooms.",
    {
        "city": text("The city."),
        "guest": text("Name of the guest."),
        "rooms": number("How many.", "integer"),
        "price": number("The price."),
        "wishes": texts("What the guest wishes."),
        "rates": {"type": "array", "items": {"type": "number"}},
        "date": text("As YYYY-MM-DD."),
        "breakfast": {"type": "boolean"},
    },
    ["city", "rooms", "price", "breakfast"],
)


@pytest.mark.parametrize(
    "piece",
    ["one ", "12, ", "Rome, Oslo and ", "'a' \"b\" ", "second ", "in 3 weeks ", '{"a": [1, 2]} ',
     "Book a room in Rome for Ann for 3 nights. ", "a", "天气", "tomorrow "],
)  # fmt: skip
async def test_a_long_question_is_filled_in_soon(piece: str) -> None:
    """In quadratic time it would take minutes."""
    began = time.process_time()
    replies = [' "x",', ' "x",', " 1,", " 1,"]
    try:
        calls = await arguments((piece * 20_000)[:16_000], BOOKING, *replies)
    except GenerationFailed:
        calls = []  # a reply did not fit the value that was asked for
    assert len(calls) <= 16
    assert time.process_time() - began < 15
