"""Whether a guided model calls, and which tool; with a scripted engine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from localassist.chat.formats import ToolChoice
from localassist.core import ChatMessage, ToolSpec
from localassist.engine.scripted import ScriptedEngine
from localassist.errors import InvalidRequest
from localassist.tools.guided import ToolPlan
from tests.tools.guided.planning import AUTO, REQUIRED, engine, likes, number, plan, text, tool

UNITS = text("Unit.", enum=["celsius", "kelvin"])
WEATHER = tool(
    "get_weather", "Get the weather of a city.", {"unit": UNITS, "city": text()}, ["city"]
)
STRENGTH = tool("calcStrength", "Battle strength.", {"name": text()}, ["name"])
BOTH = [WEATHER, STRENGTH]
QUESTION = "What is the weather of Paris in celsius?"


async def test_a_likely_tool_is_called_with_values_of_the_question() -> None:
    scripted = engine()
    result = await plan(scripted, QUESTION, BOTH)
    (call,) = result.calls
    assert call.name == "get_weather"
    assert call.arguments == '{"unit": "celsius", "city": "Paris"}'
    assert call.evidence == {"city": "words of the question", "unit": "named in the question"}
    assert {score.name for score in result.scores} == {"get_weather", "calcStrength"}
    best = max(result.scores, key=lambda score: score.likelihood)
    assert best.name == "get_weather" and best.decision > 0 and best.gain > 0
    assert scripted.requests == []  # all of it was chosen among words of the question
    assert result.usage.prompt_tokens > len(QUESTION)


async def test_an_unlikely_question_is_answered_in_words() -> None:
    scripted = engine()
    result = await plan(scripted, "Hello, who are you?", BOTH)
    assert result.calls == ()
    assert len(result.scores) == 2 and all(score.decision < 0 for score in result.scores)
    assert scripted.requests == []


@pytest.mark.parametrize(
    ("choice", "name"),
    [(REQUIRED, "get_weather"), (ToolChoice("named", "calcStrength"), "calcStrength")],
)
async def test_a_demand_is_met_whatever_the_question(choice: ToolChoice, name: str) -> None:
    result = await plan(engine(' "Hello"}'), "Hello", BOTH, choice)
    assert [call.name for call in result.calls] == [name]


async def test_a_tools_output_is_not_answered_with_a_call_unless_demanded() -> None:
    conversation = [
        ChatMessage("user", QUESTION),
        ChatMessage("assistant", ""),
        ChatMessage("tool", "22 degrees"),
    ]
    assert await plan(engine(), conversation, BOTH) == ToolPlan()
    assert len((await plan(engine(), conversation, BOTH, REQUIRED)).calls) == 1


@pytest.mark.parametrize(
    ("tools", "choice", "question"),
    [
        ((), AUTO, QUESTION),
        ((WEATHER,), ToolChoice("none"), QUESTION),
        ((WEATHER,), AUTO, ""),
        ((WEATHER,), AUTO, " \n"),
    ],
)
async def test_nothing_to_call_costs_nothing(
    tools: tuple[ToolSpec, ...], choice: ToolChoice, question: str
) -> None:
    assert await plan(engine(), question, tools, choice) == ToolPlan()


async def test_a_conversation_without_a_question() -> None:
    assert await plan(engine(), [ChatMessage("system", "Be kind.")], BOTH) == ToolPlan()
    written = await plan(engine(' "Oslo",'), [], [WEATHER], REQUIRED)
    assert json.loads(written.calls[0].arguments) == {"city": "Oslo"}


async def test_a_named_tool_has_to_be_there() -> None:
    with pytest.raises(InvalidRequest):
        await plan(engine(), QUESTION, BOTH, ToolChoice("named", "nowhere"))


@pytest.mark.parametrize(
    ("follow_up", "arguments"),
    [
        ("And in London?", {"city": "London"}),
        ("Hello, who are you?", None),
        ("What is the weather of Rome?", {"city": "Rome"}),
    ],
)
async def test_a_short_question_that_goes_on_is_read_with_the_one_before(
    follow_up: str, arguments: dict[str, str] | None
) -> None:
    conversation = [
        ChatMessage("user", "Tell me the weather of Paris"),
        ChatMessage("assistant", "22"),
        ChatMessage("user", follow_up),
    ]
    scripted = ScriptedEngine(
        scorer=lambda prompt, said: likes("weather")(prompt, said) - 50 * ("Paris" in said)
    )
    result = await plan(scripted, conversation, BOTH, parallel=False)
    if arguments is None:
        assert result.calls == ()
    else:
        assert arguments["city"] in result.calls[-1].arguments


async def test_many_tools_are_sorted_out_before_they_are_scored() -> None:
    many = [ToolSpec(f"tool_{index}", "Something else.") for index in range(100)]
    result = await plan(engine(), QUESTION, [*many, WEATHER])
    assert len(result.scores) == 16
    assert result.calls[0].name == "get_weather"


async def test_similarity_comes_from_the_embedder_when_there_is_one() -> None:
    async def embed(texts: Sequence[str]) -> list[list[float]]:
        return [[1.0, 0.0] if "weather" in text else [0.0, 1.0] for text in texts]

    result = await plan(engine(), QUESTION, BOTH, embed=embed)
    similarities = {score.name: score.similarity for score in result.scores}
    assert similarities == {"get_weather": 1.0, "calcStrength": 0.0}


async def test_missing_numbers_speak_against_a_tool() -> None:
    bare = tool("weather_of", "The weather.", {})
    needy = tool("weather_at", "The weather.", {"lat": number(), "lon": number()}, ["lat", "lon"])
    scores = (await plan(engine(), QUESTION, [bare, needy])).scores
    decisions = {score.name: score.decision for score in scores}
    assert decisions["weather_at"] < decisions["weather_of"]


async def test_a_question_of_any_length_fits_and_costs_no_more_than_its_end() -> None:
    scripted = ScriptedEngine(default_reply=' "x",', scorer=likes("weather"), context_length=6000)
    scored: list[int] = []
    score = scripted.score

    async def spying(prompt: Sequence[int], continuations: Any) -> Any:
        scored.extend(map(len, continuations))
        return await score(prompt, continuations)

    scripted.score = spying  # type: ignore[method-assign]
    result = await plan(scripted, "long " * 4000 + QUESTION, BOTH, REQUIRED)
    assert json.loads(result.calls[0].arguments)["unit"] == "celsius"
    assert max(scored) == 256
    assert all(len(request.prompt) < 6000 for request in scripted.requests)
