"""Guided calls with a scripted engine: decisions, order of work, and arguments that always fit."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from localassist.chat.formats import FORMATS, ToolChoice
from localassist.chat.prompt import PromptBuilder
from localassist.chat.template import ChatTemplate
from localassist.core import ChatMessage, ToolSpec
from localassist.engine.request import Generate
from localassist.engine.scripted import ScriptedEngine
from localassist.errors import GenerationFailed, InvalidRequest
from localassist.tools.guided import GuidedCaller, ToolPlan

WEATHER = ToolSpec(
    "get_weather",
    "Weather of a city.",
    {
        "type": "object",
        "properties": {
            "unit": {"type": "string", "enum": ["celsius", "kelvin"]},
            "city": {"type": "string"},
        },
        "required": ["city"],
    },
)
STRENGTH = ToolSpec(
    "calcStrength",
    "Battle strength.",
    {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
)
QUESTION = "What is the weather of Paris in celsius?"
AUTO, REQUIRED = ToolChoice("auto"), ToolChoice("required")


def likes(word: str) -> Callable[[str, str], float]:
    """A scorer: the question is likelier after a description that has this word."""
    return lambda prompt, question: -len(question) * (1.0 if word in prompt else 2.0)


def engine(*replies: Any, word: str = "weather") -> ScriptedEngine:
    return ScriptedEngine(*replies, scorer=likes(word))


async def plan(
    engine: ScriptedEngine,
    conversation: Sequence[ChatMessage] | str,
    tools: Sequence[ToolSpec] = (WEATHER, STRENGTH),
    choice: ToolChoice = AUTO,
) -> ToolPlan:
    if isinstance(conversation, str):
        conversation = [ChatMessage("user", conversation)]
    template = ChatTemplate(engine.chat_template, engine.special_tokens)
    builder = PromptBuilder(engine, template, FORMATS["plain"], engine.model_id)
    return await GuidedCaller(engine, builder).plan(conversation, tools, choice)


def asked(engine: ScriptedEngine, request: Generate) -> str:
    return engine.detokenize(request.prompt)


async def test_a_likely_tool_is_called_with_values_of_the_question() -> None:
    scripted = engine(' "Paris",')
    result = await plan(scripted, QUESTION)
    (call,) = result.calls
    assert call.name == "get_weather"
    assert call.arguments == '{"unit": "celsius", "city": "Paris"}'
    assert call.evidence == {"city": "words of the question", "unit": "named in the question"}
    assert {score.name for score in result.scores} == {"get_weather", "calcStrength"}
    (request,) = scripted.requests
    assert asked(scripted, request).endswith('<|im_start|>assistant\n{"city":')
    assert request.sampling.temperature == 0
    assert result.usage.prompt_tokens > len(request.prompt)


async def test_an_unlikely_question_is_answered_in_words() -> None:
    scripted = engine()
    result = await plan(scripted, "Hello, who are you?")
    assert result.calls == ()
    assert all(score.decision < 0 for score in result.scores)
    assert scripted.requests == []


@pytest.mark.parametrize(
    ("choice", "name"),
    [(REQUIRED, "get_weather"), (ToolChoice("named", "calcStrength"), "calcStrength")],
)
async def test_a_demand_is_met_whatever_the_question(choice: ToolChoice, name: str) -> None:
    result = await plan(engine(' "Hello"}'), "Hello", choice=choice)
    assert [call.name for call in result.calls] == [name]


async def test_a_tools_output_is_not_answered_with_a_call_unless_demanded() -> None:
    conversation = [
        ChatMessage("user", QUESTION),
        ChatMessage("assistant", ""),
        ChatMessage("tool", "22 degrees"),
    ]
    assert (await plan(engine(), conversation)).calls == ()
    assert len((await plan(engine(' "Paris",'), conversation, choice=REQUIRED)).calls) == 1


@pytest.mark.parametrize(("tools", "choice"), [((), AUTO), ((WEATHER,), ToolChoice("none"))])
async def test_nothing_to_call_costs_nothing(
    tools: tuple[ToolSpec, ...], choice: ToolChoice
) -> None:
    assert await plan(engine(), QUESTION, tools, choice) == ToolPlan()


async def test_a_named_tool_has_to_be_there() -> None:
    with pytest.raises(InvalidRequest):
        await plan(engine(), QUESTION, choice=ToolChoice("named", "nowhere"))


async def test_a_short_question_is_read_with_the_one_before() -> None:
    scripted = engine(' "London",')
    conversation = [
        ChatMessage("user", QUESTION),
        ChatMessage("assistant", "22"),
        ChatMessage("user", "And in London?"),
    ]
    result = await plan(scripted, conversation)
    assert f"{QUESTION} And in London?" in asked(scripted, scripted.requests[0])
    assert json.loads(result.calls[0].arguments)["city"] == "London"


async def test_a_greeting_stands_for_itself() -> None:
    scripted = engine()
    conversation = [
        ChatMessage("user", QUESTION),
        ChatMessage("assistant", "22"),
        ChatMessage("user", "Hello, who are you?"),
    ]
    assert (await plan(scripted, conversation)).calls == ()


async def test_a_value_that_does_not_fit_is_decoded_again_under_its_schema() -> None:
    code = {"type": "object", "properties": {"code": {"type": "string", "minLength": 6}}}
    tool = ToolSpec("rate", "Weather rate.", {**code, "required": ["code"]})
    scripted = engine(' "rate",', ' "EURUSD"}')
    result = await plan(scripted, "rate", [tool], REQUIRED)
    assert result.calls[0].arguments == '{"code": "EURUSD"}'
    assert len(scripted.requests) == 2


async def test_rules_across_arguments_are_met_by_the_whole_grammar() -> None:
    number = {"type": "integer"}
    parameters: dict[str, Any] = {"type": "object", "properties": {"a": number, "b": number}}
    parameters["anyOf"] = [{"required": ["a"]}, {"required": ["b"]}]
    scripted = engine('{"a": 1, "b": 2}')
    result = await plan(scripted, "weather", [ToolSpec("f", "", parameters)], REQUIRED)
    assert result.calls[0].arguments == '{"a": 1, "b": 2}'
    assert result.calls[0].evidence == {"a": "schema", "b": "schema"}


async def test_arguments_that_never_fit_are_an_error_not_a_call() -> None:
    scripted = ScriptedEngine(default_reply="rambling", scorer=likes("weather"))
    with pytest.raises(GenerationFailed):
        await plan(scripted, "weather", [STRENGTH], REQUIRED)


async def test_many_tools_are_sorted_out_before_they_are_scored() -> None:
    many = [ToolSpec(f"tool_{index}", "Something else.") for index in range(100)]
    result = await plan(engine(' "Paris",'), QUESTION, [*many, WEATHER])
    assert len(result.scores) == 16
    assert result.calls[0].name == "get_weather"


async def test_similarity_comes_from_the_embedder_when_there_is_one() -> None:
    scripted = engine(' "Paris",')
    template = ChatTemplate(scripted.chat_template, scripted.special_tokens)
    builder = PromptBuilder(scripted, template, FORMATS["plain"], scripted.model_id)

    async def embed(texts: Sequence[str]) -> list[list[float]]:
        return [[1.0, 0.0] if "eather" in text else [0.0, 1.0] for text in texts]

    caller = GuidedCaller(scripted, builder, embed)
    result = await caller.plan([ChatMessage("user", QUESTION)], [STRENGTH, WEATHER], AUTO)
    similarities = {score.name: score.similarity for score in result.scores}
    assert similarities == {"get_weather": 1.0, "calcStrength": 0.0}


async def test_parameters_without_a_schema_of_their_own_are_filled() -> None:
    anything = ToolSpec(
        "note",
        "Weather note.",
        {
            "type": "object",
            "properties": {
                "x": True,
                "record": {"type": "object", "properties": {"y": True}, "required": ["y"]},
            },
            "required": ["x", "record"],
        },
    )
    scripted = engine(" 1,", ' {"y": 2},')
    (call,) = (await plan(scripted, QUESTION, [anything, STRENGTH], REQUIRED)).calls
    assert json.loads(call.arguments) == {"x": 1, "record": {"y": 2}}


async def test_a_question_of_any_length_fits_and_costs_no_more_than_its_end() -> None:
    scripted = ScriptedEngine(default_reply=' "x",', scorer=likes("weather"), context_length=6000)
    scored: list[int] = []
    score = scripted.score

    async def spying(prompt: Sequence[int], continuations: Any) -> Any:
        scored.extend(map(len, continuations))
        return await score(prompt, continuations)

    scripted.score = spying  # type: ignore[method-assign]
    await plan(scripted, "long " * 4000 + QUESTION, choice=REQUIRED)
    assert max(scored) == 256
    assert all(len(request.prompt) < 6000 for request in scripted.requests)


async def test_a_value_that_found_no_end_is_not_decoded_twice_the_same_way() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}
    parameters = {
        "type": "object",
        "properties": {"head": {"$ref": "#/$defs/node"}},
        "required": ["head"],
        "$defs": {"node": node},
    }
    scripted = engine(' {"next": {"next": {', '{"head": {}}')
    (call,) = (await plan(scripted, QUESTION, [ToolSpec("f", "", parameters)], REQUIRED)).calls
    assert json.loads(call.arguments) == {"head": {}}
    assert len(scripted.requests) == 2
