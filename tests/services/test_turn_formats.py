"""A model's turn in the forms of the families: markers that are control tokens, marked texts."""

from __future__ import annotations

import json

import pytest

from localassist.chat.formats import ToolChoice, control_tokens_of, detect
from localassist.chat.prompt import PromptBuilder
from localassist.chat.template import ChatTemplate
from localassist.core import SamplingParams, ToolSpec
from localassist.engine import ScriptedEngine, validate_grammar
from localassist.errors import GenerationFailed
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
from tests.chat import family_templates as templates
from tests.services.test_turn import QUESTION, TOOLS, manifest
from tests.services.test_turn import end as end_of
from tests.services.test_turn import text as said
from tests.services.test_turn import turn as items_of

MARKERS = ("[TOOL_CALLS]", "<|im_start|>", "<|im_end|>")


def model(
    source: str, reply: str, piece_tokens: int = 3, *more: str, tool_mode: str = "native"
) -> tuple[ChatModel, ScriptedEngine]:
    engine = ScriptedEngine(
        reply, *more, chat_template=source, special=MARKERS, piece_tokens=piece_tokens
    )
    template = ChatTemplate(engine.chat_template, engine.special_tokens)
    form = detect(template, control_tokens_of(engine.tokenize))
    prompts = PromptBuilder(engine, template, form, "scripted")
    return ChatModel(manifest(tool_mode), engine, prompts, form, None), engine


async def turn(chat: ChatModel, **fields: object) -> tuple[list[TurnItem], TurnEnded]:
    items = await items_of(chat, **fields)
    return items, end_of(items)


@pytest.mark.parametrize("piece_tokens", [1, 2, 5, 200])
async def test_a_marker_that_is_a_control_token_is_read_and_never_shown(piece_tokens: int) -> None:
    raw = (
        'I look.[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "é"}, '
        '"id": "abcdef123"}]'
    )
    chat, engine = model(templates.MISTRAL, raw, piece_tokens)
    items, end = await turn(chat, tools=TOOLS)
    assert said(items) == "I look."
    assert [(call.name, call.arguments) for call in end.calls] == [("get_weather", '{"city": "é"}')]
    marker = engine.tokenize("[TOOL_CALLS]", parse_special=True)
    assert end.generated.token_ids.count(marker[0]) == 1
    assert end.generated.token_ids == tuple(engine.tokenize(raw, parse_special=True))
    constraint = engine.requests[0].constraint
    assert constraint is not None and f"<[{marker[0]}]>" in constraint.grammar
    assert constraint.text_grammar is not None and "<[" not in constraint.text_grammar


async def test_a_cut_off_control_token_is_not_shown() -> None:
    chat, _ = model(templates.MISTRAL, "[TOOL_CALLS][{", 1)
    items, end = await turn(chat, tools=TOOLS, sampling=SamplingParams(max_tokens=3))
    assert said(items) == "" and end.calls == ()


@pytest.mark.parametrize("tools", [(), TOOLS], ids=["no tools", "tools"])
@pytest.mark.parametrize("piece_tokens", [1, 3, 200])
async def test_the_mark_of_a_text_is_not_shown_but_kept(
    tools: tuple[ToolSpec, ...], piece_tokens: int
) -> None:
    raw = "all\nIt rains."
    chat, engine = model(templates.FUNCTIONARY, raw, piece_tokens)
    items, end = await turn(chat, tools=tools)
    assert said(items) == "It rains."
    assert engine.detokenize(end.generated.token_ids) == raw
    tokens = [token for item in items if isinstance(item, Text) for token in item.token_ids]
    assert engine.detokenize(tokens) == raw


@pytest.mark.parametrize("piece_tokens", [1, 3, 200])
async def test_a_mark_is_read_in_every_mode_and_has_no_probabilities(piece_tokens: int) -> None:
    chat, engine = model(templates.FUNCTIONARY, "all\nIt rains.", piece_tokens, tool_mode="none")
    items, _ = await turn(chat, tools=TOOLS, sampling=SamplingParams(top_logprobs=0))
    assert said(items) == "It rains."
    told = [entry for item in items if isinstance(item, Text) for entry in item.logprobs]
    assert b"".join(entry.data for entry in told) == b"It rains."
    assert "get_weather" not in engine.detokenize(engine.requests[0].prompt)


async def test_an_interrupted_marked_text_goes_on() -> None:
    chat, engine = model(templates.FUNCTIONARY, "all\nIt rains >>>get_weather\n{", 1)
    before = tuple(engine.tokenize("all\nIt r", parse_special=False))
    items, _ = await turn(
        chat, tools=TOOLS, continued=before, sampling=SamplingParams(max_tokens=12)
    )
    assert said(items) == "ains"


async def test_a_demanded_call_that_does_not_come_is_an_error() -> None:
    chat, _ = model(templates.LLAMA3, "No.")
    with pytest.raises(GenerationFailed, match="without the call"):
        await turn(chat, tools=TOOLS, choice=ToolChoice("required"))


async def test_no_call_is_read_where_none_may_be_made() -> None:
    raw = '{"name": "get_weather", "parameters": {"city": "Rome"}}'
    chat, _ = model(templates.LLAMA3, raw)
    items, end = await turn(chat, tools=TOOLS, choice=ToolChoice("none"))
    assert said(items) == raw and end.calls == ()


CALL = '{"name": "get_weather", "parameters": {"city": "Rome"}}'
LIKE_CALLS = {
    "wrong arguments": '{"name": "get_weather", "parameters": {"town": "Rome"}}',
    "a key after the arguments": '{"name": "get_weather", "parameters": {"city": "Rome"}, "x": 1}',
}
like_calls = pytest.mark.parametrize("answer", LIKE_CALLS.values(), ids=LIKE_CALLS)
JSON_OBJECT = {"type": "json_object"}


@like_calls
@pytest.mark.parametrize("piece_tokens", [1, 200])
async def test_an_answer_that_reads_as_a_broken_call_is_written_again(
    answer: str, piece_tokens: int
) -> None:
    chat, engine = model(templates.LLAMA3, answer, piece_tokens, CALL)
    items, end = await turn(chat, tools=TOOLS, response_format=JSON_OBJECT)
    assert len(engine.requests) == 2 and said(items) == ""
    arguments = "".join(item.text for item in items if isinstance(item, Arguments))
    (made,) = end.calls
    assert sum(isinstance(item, CallBegun) for item in items) == 1
    assert json.loads(arguments) == json.loads(made.arguments) == {"city": "Rome"}


@like_calls
async def test_nothing_of_a_broken_call_is_given_out(answer: str) -> None:
    chat, engine = model(templates.LLAMA3, answer, 1, *[answer] * 3)
    given: list[TurnItem] = []
    request = TurnRequest(
        messages=QUESTION, sampling=SamplingParams(), tools=TOOLS, response_format=JSON_OBJECT
    )
    with pytest.raises(GenerationFailed, match="get_weather|after its call"):
        async for item in take_turn(chat, request, validate_grammar):
            given.append(item)
    assert given == [] and len(engine.requests) == 4


async def test_an_answer_in_json_beside_bare_calls_still_streams() -> None:
    chat, engine = model(templates.LLAMA3, '{"name": "Rome", "parameters": {}}', 1)
    items, end = await turn(chat, tools=TOOLS, response_format=JSON_OBJECT)
    assert end.calls == () and len(engine.requests) == 1
    assert sum(isinstance(item, Text) for item in items) > 5


async def test_a_text_after_a_marked_call_is_refused() -> None:
    raw = '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Rome"}, "id": "abcdef123"}]'
    chat, _ = model(templates.MISTRAL, f"{raw} There.")
    with pytest.raises(GenerationFailed, match="after its call"):
        await turn(chat, tools=TOOLS)
