"""Every format × tool choice × parallel calls × answer format, by the real grammar engine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.chat.formats import FORMATS, ToolChoice, detect
from localassist.chat.formats.json_values import json_rule
from localassist.chat.formats.marked import MarkedFormat
from localassist.chat.stream import ArgumentsDelta, CallEnded, CallStarted, TextDelta, TurnEvent
from localassist.chat.template import ChatTemplate
from localassist.core import ToolCall, ToolSpec
from localassist.errors import InvalidRequest
from tests.chat import family_templates as templates
from tests.chat.test_stream import ARGUMENTS, merged
from tests.grammars import accepts

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}


def closed(**properties: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in properties.items()},
        "required": list(properties),
        "additionalProperties": False,
    }


INTEGER = {"type": "integer"}
TOOLS = [ToolSpec("f", "", closed(x="integer")), ToolSpec("get_f", "", closed(city="string"))]
F = ToolCall("call_a", "f", '{"x": 1}')
GET_F = ToolCall("call_b", "get_f", '{"city": "São Tomé \\"}東京"}')
ANSWER = json_rule(closed(done="boolean"))
READ = {
    name: detect(ChatTemplate(source, SPECIAL), lambda text: None)
    for name, source in {
        **templates.FAMILIES,
        "numbered": templates.NUMBERED,
        "ids first": templates.NAMED_IDS,
        "thinking": templates.THINKING,
        "generic": None,
    }.items()
}
ALL = pytest.mark.parametrize("family", READ)


def turns(form: MarkedFormat) -> dict[str, str]:
    """What a model might write, by what it is."""
    begin = form.markup.text_begin
    call = form.render_calls([F])
    calls = form.render_calls([F, GET_F])
    found = {
        "text": f"{begin}Hello {{x}} [1] < 5,\nhow are you?",
        "call": call,
        "named call": form.render_calls([GET_F]),
        "two calls": calls,
        "answer": begin + '{"done": true}',
        "bad answer": begin + '{"done": 1}',
        "bad argument": form.render_calls([ToolCall("c", "f", '{"x": "1"}')]),
        "unknown argument": form.render_calls([ToolCall("c", "f", '{"x": 1, "y": 2}')]),
        "unknown function": form.render_calls([ToolCall("c", "g", '{"x": 1}')]),
        "cut off": call[: call.index("1")],
    }
    if form.markup.after_text is not None:
        after = call.removeprefix(form.markup.begin)
        start = form.markup.after_text.replace("\x02", "abc123def")
        after = call if form.markup.begin else start + after
        found["text and call"] = f"{begin}I will look.\n{after}"
    return found


@ALL
@pytest.mark.parametrize("parallel", [True, False])
@pytest.mark.parametrize("answer", [None, ANSWER], ids=["free", "formatted"])
@pytest.mark.parametrize("mode", ["auto", "required", "named", "none"])
def test_each_choice_allows_just_its_turns(
    family: str, mode: str, parallel: bool, answer: str | None
) -> None:
    form = READ[family]
    choice = ToolChoice(mode, "get_f" if mode == "named" else None)  # type: ignore[arg-type]
    constraint = form.constraint(TOOLS, choice, parallel=parallel, answer=answer)
    allowed = {"named call"}
    if mode == "none":
        allowed = set()
    elif mode != "named":
        allowed |= {"call"} | ({"two calls"} if parallel and form.markup.joint else set())
    if mode in ("auto", "none"):
        allowed |= {"answer"} if answer else {"text", "answer", "bad answer"}
    if mode == "auto" and answer is None and form.markup.after_text is not None:
        allowed.add("text and call")
    made = turns(form)
    if form.markup.joint is None:
        made.pop("two calls")
    if form.markup.after_text is None and mode in ("auto", "none") and answer is None:
        # Where nothing marks calls, what is no call from the first character on is text.
        made.pop("cut off", None)
    assert {name for name, turn in made.items() if accepts(constraint, turn)} == allowed


@pytest.mark.parametrize("mode", ["auto", "none"])
@pytest.mark.parametrize("text", ["{", '{"name": 5}', '{"a": {}}', 'See {"name": "f"}', "[]", ""])
def test_braces_are_possible_where_calls_are_not_marked(mode: str, text: str) -> None:
    form = READ["llama3"]
    constraint = form.constraint(TOOLS, ToolChoice(mode), parallel=True)  # type: ignore[arg-type]
    assert accepts(constraint, text)
    parser = form.parser(TOOLS)
    assert merged(parser.feed(text) + parser.finish()) == ([TextDelta(text)] if text else [])


def test_references_hold_beside_a_formatted_answer() -> None:
    """Where a call and an answer are both JSON, a schema becomes a part of another one."""
    number = {"$ref": "#/$defs/n"}
    tool = ToolSpec("f", "", {**closed(), "properties": {"x": number}, "$defs": {"n": INTEGER}})
    form = READ["llama3"]
    constraint = form.constraint([tool], ToolChoice(), parallel=True, answer=ANSWER)
    assert accepts(constraint, form.render_calls([F]))
    assert accepts(constraint, '{"done": true}')
    assert not accepts(constraint, form.render_calls([ToolCall("c", "f", '{"x": "1"}')]))


@pytest.mark.parametrize("name", ["default", "const", "enum", "examples", "$ref", "properties"])
@pytest.mark.parametrize("keyword", ["properties", "$defs"])
def test_references_hold_below_names_that_are_keywords_elsewhere(name: str, keyword: str) -> None:
    number = {"$ref": "#/$defs/n"}
    if keyword == "properties":
        schema = {**closed(), "properties": {name: number}, "$defs": {"n": INTEGER}}
        key = name
    else:
        schema = {**closed(), "properties": {"x": {"$ref": f"#/$defs/{name}"}}}
        schema["$defs"] = {name: number, "n": INTEGER}
        key = "x"
    form = READ["llama3"]
    constraint = form.constraint(
        [ToolSpec("f", "", schema)], ToolChoice(), parallel=True, answer=ANSWER
    )
    for value, is_valid in ((1, True), ("1", False)):
        written = form.render_calls([ToolCall("c", "f", json.dumps({key: value}))])
        assert accepts(constraint, written) == is_valid


@pytest.mark.parametrize("mode", ["auto", "none"])
def test_a_text_cannot_begin_like_a_call(mode: str) -> None:
    constraint = READ["llama3"].constraint(TOOLS, ToolChoice(mode), parallel=True)  # type: ignore[arg-type]
    assert not accepts(constraint, '{"name": "nobody"}')


def test_texts_are_marked_without_tools_too() -> None:
    constraint = READ["functionary"].constraint([], ToolChoice(), parallel=True)
    assert accepts(constraint, "all\nHello")
    assert not accepts(constraint, "Hello")
    assert READ["mistral"].constraint([], ToolChoice(), parallel=True) is None


def test_a_function_named_like_the_mark_of_texts_is_refused() -> None:
    tools = [ToolSpec("all", "", closed())]
    with pytest.raises(InvalidRequest, match="'all'"):
        READ["functionary"].constraint(tools, ToolChoice(), parallel=True)
    assert accepts(
        READ["hermes"].constraint(tools, ToolChoice("required"), parallel=True),
        READ["hermes"].render_calls([ToolCall("c", "all", "{}")]),
    )


def read(form: MarkedFormat, pieces: Sequence[str]) -> tuple[list[TurnEvent], dict[int, str]]:
    parser = form.parser()
    events = [event for piece in pieces for event in parser.feed(piece)]
    return merged(events + parser.finish()), parser.written_ids


CALLS = st.lists(
    st.builds(
        ToolCall,
        st.text("abc_", min_size=1, max_size=12),
        st.text("ab_-Z9", min_size=1, max_size=8),
        ARGUMENTS.map(lambda value: json.dumps(value, ensure_ascii=False)),
    ),
    min_size=1,
    max_size=3,
)


@ALL
@given(calls=CALLS, cuts=st.lists(st.integers(0, 400), max_size=20))
def test_what_is_rendered_is_read_back(family: str, calls: list[ToolCall], cuts: list[int]) -> None:
    form = READ[family]
    if form.markup.joint is None:
        calls = calls[:1]
    turn = form.render_calls(calls)
    expected: list[TurnEvent] = []
    for index, call in enumerate(calls):
        expected += [CallStarted(index, call.name), ArgumentsDelta(index, call.arguments)]
        expected.append(CallEnded(index))
    borders = sorted({0, len(turn), *(min(cut, len(turn)) for cut in cuts)})
    pieces = [turn[a:b] for a, b in zip(borders, borders[1:], strict=False)]
    events, ids = read(form, pieces)
    assert events == expected
    if form.markup.has_ids:
        assert ids == {index: form.call_id(call.id) for index, call in enumerate(calls)}


@ALL
@given(data=st.data())
def test_any_split_of_any_turn_gives_the_same(family: str, data: st.DataObject) -> None:
    form = READ[family]
    whole = data.draw(st.sampled_from(sorted(turns(form).values())))
    turn = whole[: data.draw(st.integers(0, len(whole)))] + data.draw(st.sampled_from(["", " x"]))
    cuts = data.draw(st.lists(st.integers(0, len(turn)), max_size=8))
    borders = sorted({0, len(turn), *cuts})
    pieces = [turn[a:b] for a, b in zip(borders, borders[1:], strict=False)]
    assert read(form, pieces) == read(form, [turn]) == read(form, list(turn))


@ALL
def test_markers_of_cut_off_calls_are_never_shown(family: str) -> None:
    form = READ[family]
    call = form.render_calls([F])
    begin = form.markup.begin or form.markup.text_begin[:1]
    for size in range(len(form.markup.trigger or begin), len(call)):
        events, _ = read(form, [call[:size]])
        assert not any(isinstance(event, TextDelta) for event in events), call[:size]


@ALL
def test_calls_of_unknown_functions_are_text(family: str) -> None:
    form = READ[family]
    call = form.render_calls([ToolCall("c", "g", "{}")])
    for tools in ([], TOOLS):
        parser = form.parser(tools)
        events = merged(parser.feed(call) + parser.finish())
        assert [type(event) for event in events] == [TextDelta]


@pytest.mark.parametrize("name", FORMATS)
def test_names_lead_to_formats(name: str) -> None:
    assert FORMATS[name].name == name


@pytest.mark.parametrize("call_id", ["call_abc", "abc123def", "<|im_end|>", "", "é"])
def test_ids_in_prompts_are_plain(call_id: str) -> None:
    short = READ["mistral"].call_id(call_id)
    assert len(short) == 9 and short.isascii() and short.isalnum()
    assert short == READ["mistral"].call_id(call_id)
    assert "<" not in READ["hermes"].call_id(call_id)
