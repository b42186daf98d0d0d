"""A model's turn, from the three ways a model is dealt with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from localassist.chat.formats import FORMATS, ToolChoice
from localassist.chat.prompt import PromptBuilder
from localassist.chat.template import ChatTemplate
from localassist.core import ChatMessage, GeneratedText, SamplingParams, ToolSpec
from localassist.engine import ScriptedEngine, validate_grammar
from localassist.errors import GenerationFailed, GrammarRejected
from localassist.registry.manifest import FileSource, ModelManifest
from localassist.services.models import ChatModel
from localassist.services.turn import take_turn
from localassist.services.turn_items import (
    Arguments,
    CallBegun,
    Text,
    TurnEnded,
    TurnItem,
    TurnRequest,
)
from localassist.tools.guided import GuidedCaller

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = (ToolSpec("get_weather", "Get the weather of a city", CITY),)
QUESTION = (ChatMessage("user", "What is the weather in Paris?"),)


def manifest(tool_mode: str) -> ModelManifest:
    return ModelManifest.model_validate(
        {
            "id": "scripted",
            "kind": "chat",
            "source": FileSource.model_validate({"path": "/nowhere.gguf"}),
            "sha256": "0" * 64,
            "size_bytes": 1,
            "tool_mode": tool_mode,
            "sampling": {"temperature": 0.3, "top_p": 0.7},
        }
    )


def model(engine: ScriptedEngine, tool_mode: str) -> ChatModel:
    template = ChatTemplate(engine.chat_template, engine.special_tokens)
    tool_format = FORMATS["plain" if tool_mode == "guided" else "hermes"]
    prompts = PromptBuilder(engine, template, tool_format, "scripted")
    guided = GuidedCaller(engine, prompts) if tool_mode == "guided" else None
    return ChatModel(manifest(tool_mode), engine, prompts, tool_format, guided)


async def turn(chat: ChatModel, **fields: object) -> list[TurnItem]:
    request = TurnRequest(**{"messages": QUESTION, "sampling": SamplingParams(), **fields})  # type: ignore[arg-type]
    return [item async for item in take_turn(chat, request, validate_grammar)]


def text(items: Sequence[TurnItem]) -> str:
    return "".join(item.text for item in items if isinstance(item, Text))


def end(items: Sequence[TurnItem]) -> TurnEnded:
    last = items[-1]
    assert isinstance(last, TurnEnded)
    return last


async def test_a_plain_answer_is_delivered_token_for_token() -> None:
    engine = ScriptedEngine("It rains.", piece_tokens=2)
    items = await turn(model(engine, "none"))
    assert text(items) == "It rains."
    tokens = [t for item in items if isinstance(item, Text) for t in item.token_ids]
    assert tuple(tokens) == end(items).generated.token_ids
    assert engine.detokenize(tokens) == "It rains."


@pytest.mark.parametrize("piece_tokens", [1, 3, 7, 200])
async def test_a_native_call_is_read_from_any_pieces(piece_tokens: int) -> None:
    call_text = '{"name": "get_weather", "arguments": {"city": "Paris"}}'
    raw = f"Let me see.\n<tool_call>\n{call_text}\n</tool_call>"
    items = await turn(model(ScriptedEngine(raw, piece_tokens=piece_tokens), "native"), tools=TOOLS)
    assert text(items) == "Let me see."
    [begun] = [item for item in items if isinstance(item, CallBegun)]
    arguments = "".join(item.text for item in items if isinstance(item, Arguments))
    [call] = end(items).calls
    assert (call.id, call.name, call.arguments) == (begun.call_id, "get_weather", arguments)
    assert json.loads(arguments) == {"city": "Paris"}
    assert end(items).generated.text == raw


@pytest.mark.parametrize("piece_tokens", [1, 2, 3])
async def test_native_text_comes_with_tokens_that_spell_it(piece_tokens: int) -> None:
    raw = "a << b, a <tool b, and  that is all"
    engine = ScriptedEngine(raw, piece_tokens=piece_tokens)
    items = await turn(model(engine, "native"), tools=TOOLS)
    said, tokens = "", []
    for item in items:
        if isinstance(item, Text):
            said += item.text
            tokens += item.token_ids
            # What is settled is never ahead of what was said.
            assert said.startswith(engine.detokenize(tokens))
    assert said == raw == engine.detokenize(tokens)


@pytest.mark.parametrize("opening", ["<too", "\n<tool_call>", '<tool_call>\n{"name'])
@pytest.mark.parametrize("piece_tokens", [1, 4, 200])
async def test_a_call_cut_in_its_opening_leaves_only_what_was_said(
    piece_tokens: int, opening: str
) -> None:
    raw = f"Let me see. {opening}"
    engine = ScriptedEngine(raw + "_call> and more", piece_tokens=piece_tokens)
    sampling = SamplingParams(max_tokens=len(raw))
    items = await turn(model(engine, "native"), tools=TOOLS, sampling=sampling)
    assert (text(items), end(items).reason) == ("Let me see.", "length")
    tokens = [t for item in items if isinstance(item, Text) for t in item.token_ids]
    assert "Let me see.".startswith(engine.detokenize(tokens))
    assert end(items).generated == GeneratedText("Let me see.", (), "scripted")


async def test_the_beginning_of_an_opening_at_a_turns_own_end_is_text() -> None:
    engine = ScriptedEngine("a <too")
    items = await turn(model(engine, "native"), tools=TOOLS)
    assert text(items) == "a <too"
    assert engine.detokenize(end(items).generated.token_ids) == "a <too"


async def test_invalid_arguments_never_come_out() -> None:
    raw = '<tool_call>\n{"name": "get_weather", "arguments": {"town": 1}}\n</tool_call>'
    with pytest.raises(GenerationFailed, match="get_weather"):
        await turn(model(ScriptedEngine(raw), "native"), tools=TOOLS)


async def test_a_guided_model_that_must_call_is_led_to_valid_arguments() -> None:
    engine = ScriptedEngine(default_reply=' "Paris"}')
    items = await turn(
        model(engine, "guided"), tools=TOOLS, choice=ToolChoice("named", "get_weather")
    )
    [call] = end(items).calls
    assert json.loads(call.arguments) == {"city": "Paris"}
    assert end(items).evidence["argument_evidence"]
    assert text(items) == ""


async def test_a_guided_model_answers_after_a_tools_output() -> None:
    engine = ScriptedEngine("It rains in Paris.")
    messages = (*QUESTION, ChatMessage("tool", "rain", tool_call_id="c", tool_name="get_weather"))
    items = await turn(model(engine, "guided"), tools=TOOLS, messages=messages)
    assert text(items) == "It rains in Paris." and end(items).calls == ()


async def test_an_answer_tells_why_it_is_no_call_and_what_deciding_took() -> None:
    engine = ScriptedEngine("Roses are red.")
    messages = (ChatMessage("user", "Write a poem about love"),)
    items = await turn(model(engine, "guided"), tools=TOOLS, messages=messages)
    ended = end(items)
    assert text(items) == "Roses are red."
    assert ended.evidence["tool_scores"]["get_weather"] < 0
    assert ended.usage.prompt_tokens > len(engine.requests[0].prompt)


async def test_a_model_of_mode_none_is_not_told_of_tools() -> None:
    engine = ScriptedEngine("It rains.")
    items = await turn(model(engine, "none"), tools=TOOLS)
    assert text(items) == "It rains." and end(items).calls == ()
    assert "get_weather" not in engine.detokenize(engine.requests[0].prompt)
    assert engine.requests[0].constraint is None


@pytest.mark.parametrize("choice", [ToolChoice("required"), ToolChoice("named", "get_weather")])
async def test_a_model_of_mode_none_calls_when_it_must(choice: ToolChoice) -> None:
    call_text = '{"name": "get_weather", "arguments": {"city": "Paris"}}'
    engine = ScriptedEngine(f"<tool_call>\n{call_text}\n</tool_call>")
    items = await turn(model(engine, "none"), tools=TOOLS, choice=choice)
    (call,) = end(items).calls
    assert json.loads(call.arguments) == {"city": "Paris"}
    constraint = engine.requests[0].constraint
    assert constraint is not None and "TEXT" not in constraint.grammar
    assert "get_weather" in engine.detokenize(engine.requests[0].prompt)


async def test_a_continued_answer_delivers_only_what_is_new() -> None:
    engine = ScriptedEngine("It rains in Paris.")
    before = engine.tokenize("It rains", parse_special=False)
    items = await turn(model(engine, "none"), continued=tuple(before))
    assert text(items) == " in Paris."
    assert engine.detokenize(end(items).generated.token_ids) == "It rains in Paris."


async def test_a_response_format_constrains_the_answer() -> None:
    engine = ScriptedEngine("{}")
    schema = {"name": "answer", "schema": {"type": "object", "properties": {}}}
    await turn(
        model(engine, "none"), response_format={"type": "json_schema", "json_schema": schema}
    )
    constraint = engine.requests[0].constraint
    assert constraint is not None and "%json" in constraint.grammar


async def test_a_schema_that_cannot_be_enforced_is_refused_before_generating() -> None:
    engine = ScriptedEngine("never")
    bad = ToolSpec("f", "", {"type": "object", "properties": {"x": {"type": "nonsense"}}})
    with pytest.raises(GrammarRejected, match="'f'"):
        await turn(model(engine, "native"), tools=(bad,))
    assert engine.requests == []


def test_a_model_samples_by_its_own_defaults_unless_told() -> None:
    chat = model(ScriptedEngine(), "none")
    assert chat.sampling(None, None) == SamplingParams(temperature=0.3, top_p=0.7)
    assert chat.sampling(0, None) == SamplingParams(temperature=0, top_p=0.7)


UNIQUE = {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}
NUMBERS = {"type": "json_schema", "json_schema": {"name": "numbers", "schema": UNIQUE}}


@pytest.mark.parametrize(
    ("quoting", "tool_mode", "expected"),
    [
        ("auto", "native", "grounded"),
        ("auto", "guided", "first"),
        ("auto", "none", "first"),
        ("free", "guided", "free"),
        ("first", "native", "first"),
    ],
)
def test_unset_only_models_that_write_calls_write_from_documents(
    quoting: str, tool_mode: str, expected: str
) -> None:
    chat = model(ScriptedEngine([]), tool_mode)
    chosen = chat.manifest.model_copy(update={"quoting": quoting})
    assert replace(chat, manifest=chosen).quoting == expected


async def test_a_value_that_does_not_fit_is_written_again_before_anything_is_seen() -> None:
    engine = ScriptedEngine("[1, 1]", "[1, 2]", piece_tokens=2)
    items = await turn(
        model(engine, "none"), response_format=NUMBERS, sampling=SamplingParams(temperature=0)
    )
    assert text(items) == "[1, 2]"
    first, second = engine.requests
    assert first.sampling.temperature == 0 and second.sampling.temperature > 0
    spent = end(items).usage
    assert spent.completion_tokens > len("[1, 2]") or spent.prompt_tokens > len(second.prompt)


async def test_a_call_that_does_not_fit_is_written_again() -> None:
    tool = ToolSpec("draw", "", {"properties": {"numbers": UNIQUE}, "required": ["numbers"]})
    replies = [
        f'<tool_call>\n{{"name": "draw", "arguments": {{"numbers": {n}}}}}\n</tool_call>'
        for n in ("[3, 3]", "[3, 4]")
    ]
    items = await turn(model(ScriptedEngine(*replies), "native"), tools=[tool])
    [call] = end(items).calls
    assert json.loads(call.arguments) == {"numbers": [3, 4]}
    assert sum(isinstance(item, CallBegun) for item in items) == 1


async def test_a_value_that_never_fits_is_an_error() -> None:
    engine = ScriptedEngine(default_reply="[1, 1]")
    with pytest.raises(GenerationFailed, match="unique"):
        await turn(model(engine, "none"), response_format=NUMBERS)
    assert len(engine.requests) == 4
