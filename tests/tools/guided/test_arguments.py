"""What guided calls are filled with. The engine speaks for no value, and where none is written by
it, it has no reply to give."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from localassist import clock
from localassist.core import ToolSpec
from localassist.engine.scripted import ScriptedEngine
from localassist.errors import GenerationFailed
from tests.tools.guided.planning import (
    REQUIRED,
    arguments,
    engine,
    number,
    plan,
    text,
    texts,
    tool,
)


def one(schema: dict[str, Any], name: str = "value", required: bool = True) -> ToolSpec:
    """A tool with one parameter."""
    return tool("apply", "Apply it.", {name: schema}, [name] if required else [])


@pytest.fixture
def wednesday(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: int(datetime(2024, 5, 1, 12).timestamp()))


# -- values that the question settles --------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "name", "question", "value"),
    [
        (number(kind="integer"), "days", "Show 5 days", 5),
        (number(), "rate", "at a rate of 4.5%", 0.045),
        (number("In percent."), "rate", "at a rate of 4.5%", 4.5),
        (number(kind="integer", maximum=10), "n", "try 17 or 3", 3),
        (number(kind=["integer", "null"]), "n", "take seven of them", 7),
        (text(enum=["small", "extra large"]), "size", "an extra large one", "extra large"),
        (text(enum=["größe", "länge"]), "maß", "nach Länge ordnen, bitte", "länge"),
        ({"enum": [1, 2, "auto"]}, "level", "set it to 2", 2),
        ({"const": "v1"}, "version", "anything", "v1"),
        ({"type": "boolean"}, "include_tax", "with the tax included", True),
        ({"type": "boolean"}, "include_tax", "please do not include any tax", False),
        ({"type": "boolean"}, "include_tax", "what is the sum", False),
        ({"type": "boolean", "default": True}, "include_tax", "what is the sum", True),
        ({"type": "array", "items": number()}, "numbers", "of [4, 8, 15.5]", [4, 8, 15.5]),
        ({"type": "array", "items": number()}, "numbers", "of 4, 8 and 16", [4, 8, 16]),
        (texts(), "cities", "visit Rome, Paris, and Los Angeles", ["Rome", "Paris", "Los Angeles"]),
        (texts(), "tags", "tag it 'a b' and 'c'", ["a b", "c"]),
        (
            {"type": "array", "items": text(enum=["tea", "coffee", "milk"])},
            "drinks",
            "two coffees and a tea",
            ["coffee", "tea"],
        ),
        (text(), "title", "Find the book “Moby Dick” now", "Moby Dick"),
        (text(), "city", "the weather in São Tomé", "São Tomé"),
        (text(), "url", "open https://example.org/a?b=5 now", "https://example.org/a?b=5"),
        (text(), "email", "write to ann@example.org, please", "ann@example.org"),
        (text(maxLength=4), "city", "the weather in Oslo", "Oslo"),
    ],
)
async def test_settled_values(schema: dict[str, Any], name: str, question: str, value: Any) -> None:
    (found,) = await arguments(question, one(schema, name), parallel=False)
    assert found == {name: value}


@pytest.mark.parametrize(
    ("description", "question", "value"),
    [
        ("The day, as YYYY-MM-DD.", "from March 3rd, 2021", "2021-03-03"),
        ("The day, as MM/DD/YYYY.", "from March 3rd, 2021", "03/03/2021"),
        ("The day, as YYYY-MM-DD.", "for tomorrow", "2024-05-02"),
        ("The day, as YYYY-MM-DD.", "in two weeks", "2024-05-15"),
        ("The day, as YYYY-MM-DD.", "on Friday, May 3", "2024-05-03"),
        ("The day.", "for tomorrow", "tomorrow"),
        ("The day.", "on May 3rd", "2024-05-03"),
    ],
)
@pytest.mark.usefixtures("wednesday")
async def test_dates(description: str, question: str, value: str) -> None:
    (found,) = await arguments(f"Book it {question}", one(text(description), "date"))
    assert found == {"date": value}


@pytest.mark.usefixtures("wednesday")
async def test_a_declared_date_is_written_as_one() -> None:
    (found,) = await arguments("Book it next Friday", one(text(format="date"), "day"))
    assert found == {"day": "2024-05-03"}


async def test_each_number_goes_where_the_words_beside_it_point() -> None:
    box = tool(
        "volume",
        "Volume of a box.",
        {"height": number("Height."), "width": number("Width."), "depth": number("Depth.")},
        ["height", "width", "depth"],
    )
    question = "A box with a width of 2, a height of 3 and a depth of 4.5"
    assert await arguments(question, box) == [{"height": 3, "width": 2, "depth": 4.5}]


async def test_places_go_by_the_words_before_them() -> None:
    flight = tool(
        "flight", "Find a flight.", {"origin": text(), "destination": text()},
        ["origin", "destination"],
    )  # fmt: skip
    found = await arguments("Find a flight to New York from Rome", flight, parallel=False)
    assert found == [{"origin": "Rome", "destination": "New York"}]


# -- optional arguments ----------------------------------------------------------------------------

FORECAST = tool(
    "forecast",
    "The forecast.",
    {
        "city": text("The city."),
        "days": number("How many days.", "integer"),
        "unit": text("Unit.", enum=["celsius", "kelvin"]),
        "hourly": {"type": "boolean"},
        "note": text("A note."),
    },
    ["city"],
)


@pytest.mark.parametrize(
    ("question", "optional"),
    [
        ("The forecast in Rome", {}),
        ("The forecast in Rome for 3 days", {"days": 3}),
        ("The forecast in Rome in kelvin", {"unit": "kelvin"}),
        ("The hourly forecast in Rome", {"hourly": True}),
    ],
)
async def test_optional_arguments_need_a_reason(question: str, optional: dict[str, Any]) -> None:
    assert await arguments(question, FORECAST) == [{"city": "Rome", **optional}]


async def test_an_only_optional_text_takes_the_name_in_the_question() -> None:
    strength = one(text("The user name"), "name", required=False)
    assert await arguments("Please tell me the strength of Mamezou", strength) == [
        {"name": "Mamezou"}
    ]


async def test_a_tool_without_parameters() -> None:
    for parameters in ({}, {"type": "object"}, {"type": "object", "properties": {}}):
        assert await arguments("Ring it", ToolSpec("ring", "Ring a bell.", parameters)) == [{}]


# -- several calls ---------------------------------------------------------------------------------

PRICE = tool(
    "price",
    "Price of a share.",
    {"company": text("The company."), "year": number("The year.", "integer")},
    ["company", "year"],
)


async def test_values_in_a_row_make_a_call_each() -> None:
    weather = one(text("The city."), "city")
    question = "What is the weather in Rome, Oslo and New York?"
    cities = [call["city"] for call in await arguments(question, weather)]
    assert cities == ["Rome", "Oslo", "New York"]
    assert len(await arguments(question, weather, parallel=False)) == 1


async def test_respectively() -> None:
    question = "What was the price of Nokia and Ericsson in 2007 and 2011 respectively?"
    assert await arguments(question, PRICE) == [
        {"company": "Nokia", "year": 2007},
        {"company": "Ericsson", "year": 2011},
    ]


async def test_what_is_said_once_holds_for_all_calls() -> None:
    question = "What was the price of Nokia and Ericsson in 2007?"
    assert [call["year"] for call in await arguments(question, PRICE)] == [2007, 2007]


# -- what the model writes -------------------------------------------------------------------------


async def test_a_text_with_a_pattern_is_written_under_its_schema() -> None:
    code = one(text(pattern="^[A-Z]{3}$"), "currency")
    scripted = engine(' "EUR",')
    result = await plan(scripted, "Is it paid in euros?", [code], REQUIRED)
    assert result.calls[0].arguments == '{"currency": "EUR"}'
    (request,) = scripted.requests
    assert scripted.detokenize(request.prompt).endswith('<|im_start|>assistant\n{"currency":')
    assert request.sampling.temperature == 0 and request.constraint is not None


async def test_what_the_question_lacks_is_written_under_its_schema() -> None:
    assert await arguments("Go", one(number(kind="integer", minimum=3)), " 4,") == [{"value": 4}]
    assert await arguments("", one(text()), ' "x",') == [{"value": "x"}]


async def test_references_are_followed() -> None:
    parameters = {
        "type": "object",
        "properties": {"code": {"$ref": "#/$defs/code"}},
        "required": ["code"],
        "$defs": {"code": {"type": "string", "pattern": "^[A-Z][0-9]$"}},
    }
    found = await arguments("Take seat B7", ToolSpec("seat", "Take a seat.", parameters), ' "B7",')
    assert found == [{"code": "B7"}]


async def test_objects_are_filled_slot_by_slot() -> None:
    place = {
        "type": "object",
        "properties": {"city": text("The city."), "floor": number("The floor.", "integer")},
        "required": ["city", "floor"],
    }
    found = await arguments("Deliver it to floor 7 in Oslo", one(place, "place"))
    assert found == [{"place": {"city": "Oslo", "floor": 7}}]


async def test_parameters_without_a_schema_of_their_own_are_filled() -> None:
    found = await arguments("Note it", one(True, "x"), ' "so",')  # type: ignore[arg-type]
    assert found == [{"x": "so"}]


async def test_rules_across_arguments_are_met_by_the_whole_grammar() -> None:
    whole = number(kind="integer")
    parameters: dict[str, Any] = {"type": "object", "properties": {"a": whole, "b": whole}}
    parameters["anyOf"] = [{"required": ["a"]}, {"required": ["b"]}]
    scripted = engine('{"a": 1, "b": 2}')
    result = await plan(scripted, "weather", [ToolSpec("f", "", parameters)], REQUIRED)
    assert json.loads(result.calls[0].arguments) == {"a": 1, "b": 2}
    assert result.calls[0].evidence == {"a": "schema", "b": "schema"}


async def test_arguments_that_never_fit_are_an_error_not_a_call() -> None:
    scripted = ScriptedEngine(default_reply="rambling")
    with pytest.raises(GenerationFailed):
        await plan(scripted, "Go", [one(text(pattern="^[A-Z]{3}$"))], REQUIRED)


async def test_a_value_that_found_no_end_is_not_decoded_twice_the_same_way() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}
    parameters = {
        "type": "object",
        "properties": {"head": {"$ref": "#/$defs/node"}},
        "required": ["head"],
        "$defs": {"node": node},
    }
    scripted = engine(' {"next": {"next": {', '{"head": {}}')
    (call,) = (await plan(scripted, "Go", [ToolSpec("f", "", parameters)], REQUIRED)).calls
    assert json.loads(call.arguments) == {"head": {}}
    assert len(scripted.requests) == 2
