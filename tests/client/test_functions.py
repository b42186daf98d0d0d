"""Functions as tools: the definition a model sees, and calls with its arguments."""

from __future__ import annotations

import asyncio
import datetime
import enum
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from localassist import Tool, ToolDefinitionError, tool
from localassist.client.functions import ArgumentsError
from localassist.engine.grammar import validate_grammar
from localassist.schemas.tools import FunctionTool
from localassist.tools.grammar import check_tools


def get_weather(city: str, unit: Literal["celsius", "fahrenheit"] = "celsius") -> str:
    """Get the weather of a city.

    Looks out of the window.

    Args:
        city: Name of the
            city
        unit: Unit of the temperature
    """
    return f"{city}: 20 {unit}"


def parameters(function: Callable[..., Any]) -> Any:
    return Tool(function).definition["function"]["parameters"]


def test_the_definition_says_what_signature_and_docstring_say() -> None:
    assert tool(get_weather).definition == {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Get the weather of a city.\nLooks out of the window.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "Name of the city"},
                    "unit": {
                        "type": "string",
                        "enum": ["celsius", "fahrenheit"],
                        "description": "Unit of the temperature",
                        "default": "celsius",
                    },
                },
                "required": ["city"],
                "additionalProperties": False,
            },
        },
    }


def numpy_style(a: int) -> None:
    """Do it.

    Parameters
    ----------
    a : int
        The number
    """


def sphinx_style(a: int) -> None:
    """Do it.

    :param a: The number
    """


def no_style(a: Annotated[int, "The number"]) -> None:
    """Do it."""


def pydantic_style(a: Annotated[int, Field(description="The number")]) -> None:
    """Do it.

    Args:
        a: Something else
    """


@pytest.mark.parametrize("function", [numpy_style, sphinx_style, no_style, pydantic_style])
def test_styles_of_documentation(function: Callable[..., Any]) -> None:
    made = Tool(function)
    assert made.definition["function"]["description"] == "Do it."
    assert parameters(function)["properties"]["a"]["description"] == "The number"


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Point:
    x: float
    y: float = 0.0


class Options(TypedDict):
    deep: bool


class Book(BaseModel):
    """A book."""

    title: str
    pages: int | None = None


def rich(
    color: Color,
    point: Point,
    options: Options,
    book: Book,
    day: datetime.date,
    path: Path = Path("/tmp"),
    tags: list[str] = [],  # noqa: B006
    counts: Optional[dict[str, int]] = None,  # noqa: UP045
    schema: Annotated[int, Field(ge=1)] = 1,
) -> list[Any]:
    return [color, point, options, book, day, path, tags, counts, schema]


def test_values_arrive_as_their_types() -> None:
    given = {
        "color": "blue",
        "point": {"x": 1},
        "options": {"deep": True},
        "book": {"title": "Emma"},
        "day": "2024-02-29",
        "path": "/a",
        "counts": {"a": 1},
    }
    seen: list[Any] = []
    text = Tool(rich).call(json.dumps(given))
    result = json.loads(text)
    assert result[:3] == ["blue", {"x": 1.0, "y": 0.0}, {"deep": True}]
    assert result[3:] == [
        {"title": "Emma", "pages": None}, "2024-02-29", "/a", [], {"a": 1}, 1,
    ]  # fmt: skip

    def types(day: datetime.date, point: Point, color: Color) -> None:
        seen.extend([day, point, color])

    Tool(types).call('{"day": "2024-02-29", "point": {"x": 1}, "color": "red"}')
    assert seen == [datetime.date(2024, 2, 29), Point(1.0), Color.RED]


def test_what_may_be_left_out_keeps_its_default_and_is_not_nullable() -> None:
    properties = parameters(rich)["properties"]
    assert parameters(rich)["required"] == ["color", "point", "options", "book", "day"]
    assert properties["counts"] == {"type": "object", "additionalProperties": {"type": "integer"}}
    assert properties["schema"] == {"type": "integer", "minimum": 1, "default": 1}
    assert properties["path"]["default"] == "/tmp"
    assert "title" not in json.dumps(properties)  # that of the book is in $defs
    assert list(parameters(rich)["$defs"]["Book"]["properties"]) == ["title", "pages"]


@pytest.mark.parametrize("function", [rich, get_weather, numpy_style])
def test_definitions_are_accepted_and_enforceable(function: Callable[..., Any]) -> None:
    spec = FunctionTool.model_validate(Tool(function).definition).spec()
    assert check_tools([spec], validate_grammar)


def starred(*args: int) -> None: ...


def keywords(**options: str) -> None: ...


def untyped(first: int, second) -> None: ...  # type: ignore[no-untyped-def]


def callback(then: Callable[[int], int]) -> None: ...


def unknown(x: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821


def größe(x: int) -> None: ...


class Station:
    def __init__(self, city: str) -> None: ...


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (starred, "'starred' cannot be a tool: a model cannot be told what '*args' takes"),
        (keywords, "what '**options' takes"),
        (untyped, "'untyped' cannot be a tool: parameter 'second' has no type"),
        (callback, "the type of parameter 'then' has no JSON form"),
        (unknown, "name 'Missing' is not defined"),
        (größe, "tool(name=...)"),
        (max, "'max' cannot be a tool: its parameters cannot be read"),
        (Station, "'Station' cannot be a tool: the type of parameter 'city' cannot be read"),
    ],
)
def test_what_cannot_be_described_is_refused_by_name(
    function: Callable[..., Any], said: str
) -> None:
    with pytest.raises(ToolDefinitionError) as caught:
        tool(function)
    assert said in str(caught.value)


def test_the_decorator_leaves_a_function_a_function() -> None:
    @tool(name="sum", description="Add up.")
    def add(a: float, b: float = 1) -> float:
        """Not shown."""
        return a + b

    assert add(2, b=3) == 5
    assert (add.name, add.__name__, add.__doc__) == ("sum", "add", "Not shown.")
    assert add.definition["function"]["name"] == "sum"
    assert add.definition["function"]["description"] == "Add up."
    assert add.call('{"a": 2}') == "3.0"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("{}", "city: Field required"),
        ('{"city": "Rome", "unit": "kelvin"}', "unit: Input should be"),
        ('{"city": "Rome", "country": "Italy"}', "country: Extra inputs are not permitted"),
        ('["Rome"]', "get_weather are not valid"),
        ('{"city": ', "Invalid JSON"),
    ],
)
def test_arguments_that_do_not_fit_say_why(arguments: str, said: str) -> None:
    with pytest.raises(ArgumentsError) as caught:
        Tool(get_weather).call(arguments)
    assert said in str(caught.value)


def test_positional_only_parameters_may_have_gaps() -> None:
    def f(a: int, b: int = 2, /, c: int = 3) -> list[int]:
        return [a, b, c]

    assert Tool(f).call('{"a": 1, "c": 9}') == "[1,2,9]"


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
))  # fmt: skip
def test_results_are_text_that_can_be_sent(value: Any) -> None:
    def f() -> object:
        return value

    text = Tool(f).call("")
    text.encode()
    assert "\0" not in text
    if not isinstance(value, str):
        assert json.loads(text) == value


def test_a_result_with_halves_of_characters_can_be_sent() -> None:
    def f() -> str:
        return "a\ud800b\0c"

    assert Tool(f).call("{}") == "a?b\ufffdc"


async def test_asynchronous_functions_are_awaited_both_ways() -> None:
    @tool
    async def double(x: int) -> int:
        await asyncio.sleep(0)
        return 2 * x

    assert await double.call_async('{"x": 4}') == "8"
    assert await asyncio.to_thread(double.call, '{"x": 4}') == "8"
    assert await tool(get_weather).call_async('{"city": "Rome"}') == "Rome: 20 celsius"
