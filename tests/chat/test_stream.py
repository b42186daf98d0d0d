"""The turn parser against a naive twin, for every way of cutting the text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.chat.formats.base import arguments_of
from localassist.chat.formats.hermes import HERMES
from localassist.chat.stream import (
    ArgumentsDelta,
    CallEnded,
    CallStarted,
    TextDelta,
    TurnEvent,
    TurnParser,
)
from localassist.core import ToolCall


def merged(events: list[TurnEvent]) -> list[TurnEvent]:
    """Neighbouring deltas of one kind joined."""
    joined: list[TurnEvent] = []
    for event in events:
        last = joined[-1] if joined else None
        if isinstance(event, TextDelta) and isinstance(last, TextDelta):
            joined[-1] = TextDelta(last.text + event.text)
        elif isinstance(event, ArgumentsDelta) and isinstance(last, ArgumentsDelta):
            joined[-1] = ArgumentsDelta(event.index, last.text + event.text)
        else:
            joined.append(event)
    return joined


def parse(pieces: list[str]) -> list[TurnEvent]:
    parser = HERMES.parser()
    events = [event for piece in pieces for event in parser.feed(piece)]
    return merged(events + parser.finish())


def call(name: str, arguments: object) -> str:
    text = json.dumps(arguments, ensure_ascii=False)
    return f'<tool_call>\n{{"name": "{name}", "arguments": {text}}}\n</tool_call>'


ARGUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda child: st.lists(child, max_size=3) | st.dictionaries(st.text(), child, max_size=3),
    max_leaves=6,
).map(lambda value: {"value": value})
TEXT = st.text(alphabet='ab <>_/tol{}\n"', max_size=30) | st.sampled_from(
    ["<tool_call", "a <tool_call> b", "<tool_call>\n", "<tool_call>{}", "x<<tool_call>"]
)


@given(
    TEXT,
    st.lists(st.tuples(st.sampled_from("fg"), ARGUMENTS), max_size=3),
    st.lists(st.integers(0, 400), max_size=30),
)
def test_any_split_gives_the_same(
    text: str, calls: list[tuple[str, object]], cuts: list[int]
) -> None:
    turn = text + "\n".join(call(name, arguments) for name, arguments in calls)
    borders = sorted({0, len(turn), *(min(cut, len(turn)) for cut in cuts)})
    pieces = [turn[a:b] for a, b in zip(borders, borders[1:], strict=False)]
    assert parse(pieces) == parse([turn]) == parse(list(turn))


@given(
    st.text(alphabet="ab .\n", max_size=20),
    st.lists(st.tuples(st.sampled_from("fg"), ARGUMENTS), min_size=1, max_size=3),
)
def test_text_and_calls_come_back(text: str, calls: list[tuple[str, object]]) -> None:
    turn = text + "\n" + "\n".join(call(name, arguments) for name, arguments in calls)
    expected: list[TurnEvent] = [TextDelta(text.rstrip())] if text.strip() else []
    for index, (name, arguments) in enumerate(calls):
        written = json.dumps(arguments, ensure_ascii=False)
        expected += [CallStarted(index, name), ArgumentsDelta(index, written), CallEnded(index)]
    assert parse([turn]) == expected


@given(TEXT)
def test_text_without_a_call_is_kept_whole(text: str) -> None:
    events = parse([text])
    if "{" not in text and not text.rstrip().endswith("<tool_call>"):
        assert "".join(event.text for event in events if isinstance(event, TextDelta)) == text


def test_name_is_announced_before_the_arguments_are_complete() -> None:
    parser = HERMES.parser()
    events = parser.feed('<tool_call>\n{"name": "f", "arguments": {"a": [1, ')
    assert merged(events) == [CallStarted(0, "f"), ArgumentsDelta(0, '{"a": [1, ')]
    assert parser.finish() == []


@pytest.mark.parametrize(
    "turn",
    [
        '<tool_call>{"name": "f", "arguments": {}}</tool_call>',
        '<tool_call>\n{"arguments": {}, "name": "f"}\n</tool_call>',
        '<tool_call>\n{"name": "f", "arguments": "{}"}\n</tool_call>',
        '<tool_call>\n{"name": "not known", "arguments": {}}\n</tool_call>',
    ],
)
def test_what_only_looks_like_a_call_is_text(turn: str) -> None:
    """The grammar allows calls in one form; anything else was quoted."""
    assert parse([turn]) == parse(list(turn)) == [TextDelta(turn)]


def test_cut_off_before_the_name_leaves_nothing() -> None:
    assert parse(['Wait.\n<tool_call>\n{"na']) == [TextDelta("Wait.")]


@pytest.mark.parametrize("text", ["", " ", "<tool_call>", "a < b", "<tool_call> no"])
def test_without_markup_everything_is_text(text: str) -> None:
    parser = TurnParser(None)
    assert merged(parser.feed(text) + parser.finish()) == ([TextDelta(text)] if text else [])


def test_endless_brackets_are_no_crash() -> None:
    """What a small model that repeats itself writes."""
    endless = '{"a": ' + "[" * 5000 + "]" * 5000 + "}"
    events = parse(['<tool_call>\n{"name": "f", "arguments": ' + endless + "}\n</tool_call>"])
    assert events == [CallStarted(0, "f"), ArgumentsDelta(0, endless), CallEnded(0)]
    call = ToolCall("call_1", "f", endless)
    assert arguments_of(call) == call.arguments
