"""Quotations, words and phrases."""

from __future__ import annotations

import pytest

from localassist.tools.evidence.phrases import is_name, phrases, quotations, split
from localassist.tools.evidence.words import Span


def said(text: str, spans: list[Span]) -> list[str]:
    return [text[span.start : span.end] for span in spans]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Say 'hi there' and \"bye\"", ["hi there", "bye"]),
        ("Play “Blue Train” by ‘Bo’ or `x y`", ["Blue Train", "Bo", "x y"]),
        ("It's Bob's dog, isn't it?", []),
        ("Call it 'Ann's cat' now", ["Ann's cat"]),
        ('"What is the time in Rome?"', []),
        ("An open “mark, an empty '' and a stray \"", []),
    ],
)
def test_quotations(text: str, found: list[str]) -> None:
    assert said(text, quotations(text)) == found


def test_words_lose_the_marks_around_them() -> None:
    text = "What's \"Ann\" (of St. Ives, Mr. Lee's) 好吗？"
    assert [word.text for word in split(text)] == [
        "What", "Ann", "of", "St.", "Ives", "Mr.", "Lee", "好吗",
    ]  # fmt: skip


def test_a_comma_between_letters_ends_a_word() -> None:
    assert [word.text for word in split("red,green 1,000")] == ["red", "green", "1,000"]


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("Weather in New York City tomorrow", ["New York City"], ["York City", "in New York City"]),
        ("Find flights from Rome to Oslo", ["Rome", "Oslo"], ["Rome to Oslo"]),
        ("Is it warm in Lyon, France?", ["Lyon, France", "Lyon"], []),
        ("the head of the firm Lee and Sons", ["Lee and Sons"], ["firm Lee"]),
        ("Search for cheap red shoes, please", ["cheap red shoes", "red shoes"], ["shoes, please"]),
        ("北京的天气怎么样？", ["北京的天气怎么样"], []),
        ("مرحبا بالعالم", ["مرحبا بالعالم"], []),
        ("", [], []),
        ("?! ... --", [], ["?!", "--"]),
    ],
)
def test_phrases(text: str, inside: list[str], outside: list[str]) -> None:
    found = said(text, phrases(text))
    assert set(inside) <= set(found)
    assert not set(outside) & set(found)


def test_an_endless_word_is_no_phrase() -> None:
    assert phrases("a" * 5000) == []


def test_of_very_many_phrases_both_ends_are_kept() -> None:
    text = "Berlin first, " + "green leaves fall, " * 2000 + "Madrid last"
    found = said(text, phrases(text))
    assert found[0].startswith("Berlin") and found[-1] == "last"
    assert len(found) < 600


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("New York", True), ("Bank of England", True), ("red Shoes", False), ("7", True), ("", False)],
)
def test_names(text: str, is_one: bool) -> None:
    assert is_name(text) is is_one
