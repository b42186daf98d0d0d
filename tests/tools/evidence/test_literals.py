"""Literals: kept whole, and no numbers in them."""

from __future__ import annotations

from datetime import date

import pytest

from localassist.tools.evidence import Question
from localassist.tools.evidence.literals import literals, times

LITERALS = [
    "https://example.org/2021/03/04/a?page=5",
    "www.example.org/x",
    "ann.lee+x@mail.example.org",
    "123e4567-e89b-12d3-a456-426614174000",
    "DE89 3704 0044 0532 0130 00",
    "+49 170 123 4567",
    "(555) 123-4567",
    "555-123-4567",
    "3.11.2",
    "192.168.0.17",
    "/var/log/2024/app.log",
    "~/notes/plan.txt",
    r"C:\data\05\x.csv",
    "C:/data/cars.csv",
]


@pytest.mark.parametrize("literal", LITERALS)
@pytest.mark.parametrize("frame", ["{}", "Look at {}, then stop.", "Is it ({})?"])
def test_found_whole(literal: str, frame: str) -> None:
    text = frame.format(literal)
    assert [text[span.start : span.end] for span in literals(text)] == [literal]


@pytest.mark.parametrize("literal", LITERALS)
def test_is_one_phrase_without_numbers_and_dates(literal: str) -> None:
    question = Question(f"Please send 7 copies to {literal} today", date(2024, 5, 1))
    assert literal in [question.at(span) for span in question.phrases]
    assert [question.at(number.span) for number in question.numbers] == ["7"]
    assert [question.at(mention.span) for mention in question.dates] == ["today"]


@pytest.mark.parametrize("text", ["", "1.5 and 2.5", "either/or", "10:99", "a@b", "3 + 4 = 7"])
def test_what_is_none(text: str) -> None:
    assert literals(text) == [] and times(text) == []


def test_numbers_of_a_time_give_way_to_others() -> None:
    question = Question("Wake me at 6:30 pm with 5 repeats", date(2024, 5, 1))
    assert "6:30 pm" in [question.at(span) for span in question.phrases]
    assert [n.readings[0] for n in question.numbers if not n.is_loose] == ["5"]
    assert [n.readings[0] for n in question.numbers if n.is_loose] == ["6", "30"]
