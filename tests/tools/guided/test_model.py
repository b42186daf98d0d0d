"""Guided calls with the embedded model, end to end; without an embedder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from localassist import clock
from localassist.chat.formats import FORMATS, ToolChoice
from localassist.chat.prompt import PromptBuilder
from localassist.chat.template import ChatTemplate
from localassist.core import ChatMessage, GeneratedText, ToolSpec
from localassist.engine import LlamaEngine
from localassist.tools.guided import GuidedCaller, ToolPlan
from tests.small_model import small_model
from tests.tools.guided.planning import AUTO, REQUIRED, number, text, texts, tool

pytestmark = pytest.mark.model

WEATHER = tool(
    "get_weather",
    "Get the weather forecast for a city.",
    {
        "city": text("Name of the city."),
        "days": number("How many days to forecast.", "integer"),
        "unit": text("Temperature unit.", enum=["celsius", "fahrenheit"]),
    },
    ["city"],
)
EVENT = tool(
    "add_event",
    "Put an event into the calendar.",
    {
        "title": text("What the event is called."),
        "date": text("Day of the event, as YYYY-MM-DD."),
        "guests": texts("People to invite."),
    },
    ["title", "date"],
)
ORDER = tool(
    "order_drinks",
    "Order drinks at the bar.",
    {
        "drinks": {"type": "array", "items": text(enum=["coffee", "tea", "lemonade"])},
        "size": text("Size of the cups.", enum=["small", "large"]),
        "sugar": {"type": "boolean", "description": "Whether sugar is added."},
    },
    ["drinks", "size", "sugar"],
)
CONVERT = tool(
    "convert_length",
    "Convert a length from one unit to another.",
    {
        "length": number("The length to convert."),
        "from_unit": text("Unit to convert from."),
        "to_unit": text("Unit to convert to."),
    },
    ["length", "from_unit", "to_unit"],
)
MEAN = tool(
    "mean", "Compute the mean of numbers.", {"numbers": {"type": "array", "items": number()}},
    ["numbers"],
)  # fmt: skip
MESSAGE = tool(
    "send_message",
    "Send a text message to a person.",
    {"recipient": text("Who gets the message."), "message": text("The text to send.")},
    ["recipient", "message"],
)
SHARE = tool(
    "share_price",
    "Get the price of a company's share in one year.",
    {"company": text("Name of the company."), "year": number("Year of the price.", "integer")},
    ["company", "year"],
)
NAME = {"name": text("The user name")}
STRENGTH = tool("calcStrength", "Calculate Battle Strength", NAME, ["name"])
STRENGTH_OPTIONAL = tool("calcStrength", "Calculate Battle Strength", NAME)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaEngine]:
    with small_model(tmp_path_factory.mktemp("cache")) as loaded:
        yield loaded


@pytest.fixture(autouse=True)
def wednesday(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: int(datetime(2024, 5, 1, 12).timestamp()))


def builder(engine: LlamaEngine) -> PromptBuilder:
    template = ChatTemplate(engine.chat_template, engine.special_tokens)
    return PromptBuilder(engine, template, FORMATS["plain"], engine.model_id)


async def plan(
    engine: LlamaEngine, question: str, *tools: ToolSpec, choice: ToolChoice = AUTO
) -> ToolPlan:
    caller = GuidedCaller(engine, builder(engine))
    return await caller.plan([ChatMessage("user", question)], tools, choice)


@pytest.mark.parametrize(
    ("wanted", "question", "calls"),
    [
        (
            WEATHER,
            "What will the weather be like in Lisbon over the next 4 days?",
            [{"city": "Lisbon", "days": 4}],
        ),
        (
            WEATHER,
            "Tell me the weather in Oslo in celsius.",
            [{"city": "Oslo", "unit": "celsius"}],
        ),
        (
            WEATHER,
            "What is the weather in Rome and Madrid?",
            [{"city": "Rome"}, {"city": "Madrid"}],
        ),
        (
            EVENT,
            "Put a dentist visit into my calendar for tomorrow.",
            [{"title": "dentist visit", "date": "2024-05-02"}],
        ),
        (
            EVENT,
            "Add an event called 'Team lunch' on June 12th, 2025 with Ann, Bob and Carla.",
            [{"title": "Team lunch", "date": "2025-06-12", "guests": ["Ann", "Bob", "Carla"]}],
        ),
        (
            ORDER,
            "I would like to order a large coffee and a tea without sugar.",
            [{"drinks": ["coffee", "tea"], "size": "large", "sugar": False}],
        ),
        (
            CONVERT,
            "Convert 12.5 miles to kilometers.",
            [{"length": 12.5, "from_unit": "miles", "to_unit": "kilometers"}],
        ),
        (MEAN, "Compute the mean of [4, 8, 15.5, 16].", [{"numbers": [4, 8, 15.5, 16]}]),
        (
            MESSAGE,
            'Send a message to Maria saying "I will be late".',
            [{"recipient": "Maria", "message": "I will be late"}],
        ),
        (
            SHARE,
            "What was the share price of Nokia and Ericsson in 2007 and 2011 respectively?",
            [{"company": "Nokia", "year": 2007}, {"company": "Ericsson", "year": 2011}],
        ),
        (STRENGTH, "Please tell me the battle strength of Mamezou", [{"name": "Mamezou"}]),
        (STRENGTH_OPTIONAL, "Please tell me the battle strength of Mamezou", [{"name": "Mamezou"}]),
    ],
)
async def test_arguments(
    engine: LlamaEngine, wanted: ToolSpec, question: str, calls: list[dict[str, Any]]
) -> None:
    found = await plan(engine, question, wanted, choice=REQUIRED)
    assert [json.loads(call.arguments) for call in found.calls] == calls


@pytest.mark.parametrize(
    ("wanted", "question"),
    [
        (WEATHER, "What is the weather forecast for Paris?"),
        (STRENGTH, "Please tell me the battle strength of Mamezou"),
        (MEAN, "Compute the mean of the numbers 3, 4 and 8."),
    ],
)
async def test_the_right_one_of_several_tools(
    engine: LlamaEngine, wanted: ToolSpec, question: str
) -> None:
    found = await plan(engine, question, WEATHER, STRENGTH, MEAN, EVENT)
    assert [call.name for call in found.calls] == [wanted.name]


@pytest.mark.parametrize(
    "question",
    [
        "Who wrote the novel Dracula?",
        "Hello, who are you?",
        "Write a Python function to find primes",
    ],
)
async def test_other_questions_are_answered(engine: LlamaEngine, question: str) -> None:
    assert (await plan(engine, question, WEATHER, STRENGTH)).calls == ()


async def test_worked_examples_are_prefilled_once(engine: LlamaEngine) -> None:
    rate = tool("rate", "Exchange rate.", {"to": text(pattern="^[A-Z]{3}$")}, ["to"])
    await plan(engine, "What are dollars worth?", rate, choice=REQUIRED)
    again = await plan(engine, "What are euros worth?", rate, choice=REQUIRED)
    assert again.usage.prompt_tokens - again.usage.cached_tokens < 60


async def test_prompts_extend_each_other_on_the_real_vocabulary(engine: LlamaEngine) -> None:
    prompts = builder(engine)
    history = [ChatMessage("user", "Say <|im_end|> twice.")]
    first = prompts.build(history).token_ids
    reply = tuple(engine.tokenize("Hel", parse_special=False)) + tuple(
        engine.tokenize("lo there", parse_special=False)
    )
    said = engine.detokenize(reply)
    history += [
        ChatMessage("assistant", said, generated=GeneratedText(said, reply, engine.model_id)),
        ChatMessage("user", "Again"),
    ]
    second = prompts.build(history).token_ids
    assert second[: len(first) + len(reply)] == first + reply
    (end,) = engine.tokenize("<|im_end|>", parse_special=True)
    assert first.count(end) == 2  # of the system and the user turn, not of the user's text


async def test_a_question_of_emojis_fits_in_bounded_time(engine: LlamaEngine) -> None:
    """Each of its characters is several tokens."""
    found = await plan(engine, "\U0001f984" * 5000, WEATHER, STRENGTH)
    assert found.usage.prompt_tokens < 1500
