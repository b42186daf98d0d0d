"""A question, whatever it is: read without an error, soon, and with places that make sense."""

from __future__ import annotations

import itertools
import json
import time
from datetime import date

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from localassist.tools.evidence import Question
from localassist.tools.evidence.spans import SpanSet, both_ends
from localassist.tools.evidence.words import Span, alludes, is_denied, named_at

TODAY = date(2024, 5, 1)
CHARACTERS = 16_000

_FRAGMENTS = [
    "May 5", "march", "next Friday", "in 3 weeks", "12", "-4.5%", "1,000", "2 x 10^", "dozen",
    "two hundred", "10:30", "3.11.2", "http://a.b/1", "a@b.cd", "DE89 3704 0044", "+1 555 123 4567",
    "New York", "'", '"', "“", "”", "(", ")", "[", "]", "{", ",", ", and ", ".", "?", " ", "\n",
    "\0", "\ud800", "İ", "ß", "½", "٣", "北京", "شكرا", "🦄", "\u202e", "/", "\\", "^", "e", "no ",
]  # fmt: skip
texts = st.text() | st.lists(st.sampled_from(_FRAGMENTS), max_size=30).map("".join)


def read(question: Question) -> list[Span]:
    """Looks for everything; the places of all that was found, kind by kind in order."""
    kinds = [
        [mention.span for mention in question.dates],
        [number.span for number in question.numbers],
        question.quotations,
        question.phrases,
        *([row.span for row in rows] for rows in _rows(question)),
    ]
    for spans in kinds:
        assert spans == sorted(spans)
    question.number_records(2)
    return [span for spans in kinds for span in spans]


def _rows(question: Question) -> list[list]:
    return [question.brackets, question.number_rows, question.phrase_rows]


@settings(max_examples=300, deadline=None)
@given(texts)
@example("")
@example("2 x 10^400 on last Friday")
def test_places_lie_in_the_text(text: str) -> None:
    question = Question(text, TODAY)
    for span in read(question):
        assert 0 <= span.start < span.end <= len(text)
    for rows in _rows(question):
        for row in rows:
            assert len(row.items) > 1
            assert all(row.span.start <= item.start for item in row.items)
            assert all(item.end <= row.span.end for item in row.items)
            assert all(one.end <= two.start for one, two in itertools.pairwise(row.items))
    for span in set(question.phrases) - set(question.quotations):
        assert question.at(span) == question.at(span).strip()
    for number in question.numbers:
        assert number.readings
        assert all(isinstance(json.loads(reading), int | float) for reading in number.readings)
    for span in question.quotations:
        opening, closing = text[span.start - 1], text[span.end]
        assert opening in "'\"“‘`"
        assert closing == "'" or closing not in question.at(span)


@settings(max_examples=200, deadline=None)
@given(texts, texts)
def test_words_are_looked_up_in_any_text(text: str, value: str) -> None:
    for span in (alludes(text, value), named_at(text, value)):
        assert span is None or 0 <= span.start < span.end <= len(text)
        assert span is None or is_denied(text, span) in (True, False)


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9))), st.integers(0, 90))
def test_a_set_of_spans_finds_what_a_search_finds(steps: list[tuple[int, int]], start: int) -> None:
    spans, end = [], 0
    for gap, length in steps:
        spans.append(Span(end + gap, end + gap + length))
        end += gap + length
    wanted = Span(start, start + 7)
    assert SpanSet(spans).meeting(wanted) == [span for span in spans if span.meets(wanted)]


def test_both_ends_of_many_are_kept() -> None:
    assert both_ends([1, 2, 3], 4) == [1, 2, 3]
    assert both_ends(range(9), 4) == [0, 1, 7, 8]


@pytest.mark.parametrize(
    "piece",
    [
        "a", "9", "(", ",", "'", "“a ", " 'a'b", "12 ", "12, ", "Rome ", "Rome, Oslo and ", "(a,",
        "'a' \"b\" ", "one ", "March 3rd, 2021 ", "tomorrow ", "2021-03-04 ", "second ", "a@", "a.",
        '{"a": [1, "x"], "b": {"c": 2}} ', "天气", "🦄", "\ud800", "/a", "+1 555 ", "DE89 3704 ",
        "Please book a flight from Rome to Paris on May 5 for 3 people. ", "1" + " " * 300, "a-",
    ],
)  # fmt: skip
def test_a_long_question_is_read_soon(piece: str) -> None:
    """In quadratic time it would take many seconds; it takes a tenth of one."""
    text = (piece * (CHARACTERS // len(piece) + 1))[:CHARACTERS]
    began = time.process_time()
    question = Question(text, TODAY)
    read(question)
    for value in range(100):
        alludes(text, f"value {value}")
        named_at(text, f"name_{value}")
    assert time.process_time() - began < 5
    assert len(question.phrases) < 600 and len(question.numbers) <= 512


def test_beside_a_span() -> None:
    question = Question("a" * 1000 + " 5 " + "b" * 1000, TODAY)
    (number,) = question.numbers
    assert question.before(number.span).endswith("a ") and len(question.before(number.span)) < 500
    assert question.after(number.span).startswith(" b") and len(question.after(number.span)) < 500
