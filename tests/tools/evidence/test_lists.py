"""Values in a row."""

from __future__ import annotations

from datetime import date

import pytest

from localassist.tools.evidence import Question
from localassist.tools.evidence.lists import Row


def items(question: Question, rows: list[Row]) -> list[list[str]]:
    return [[question.at(item) for item in row.items] for row in rows]


def asked(text: str) -> Question:
    return Question(text, date(2024, 5, 1))


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("Sort [3, 1, 2] and (4,5)", [["3", "1", "2"], ["4", "5"]]),
        ("Mix ['red', \"dark blue\" , green]", [["red", "dark blue", "green"]]),
        ("One (alone) or empty [] or [,]", []),
        ('Store {"a": 1, "b": 2}', []),
        ("An open [1, 2", []),
    ],
)
def test_brackets(text: str, rows: list[list[str]]) -> None:
    question = asked(text)
    assert items(question, question.brackets) == rows


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("the mean of 4, 8 and 15", [["4", "8", "15"]]),
        ("between $5, and $7", [["5", "7"]]),
        ("3 cats and 4 dogs", []),
        ("1; 2; and 3", [["1", "2", "3"]]),
    ],
)
def test_numbers(text: str, rows: list[list[str]]) -> None:
    question = asked(text)
    assert items(question, question.number_rows) == rows


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("Compare Rome, Paris and Los Angeles", [["Rome", "Paris", "Los Angeles"]]),
        ("Compare Rome, Paris, and Oslo", [["Rome", "Paris", "Oslo"]]),
        ("Tag it 'a b', 'c', or 'd'", [["a b", "c", "d"]]),
        ('Tags: ["x y","z"]', [["x y", "z"]]),
        ("with eggs, flour and sugar", [["eggs", "flour", "sugar"]]),
        ("It is warm in Lyon, France", []),
        ("It rains in Rome, and people stay home", []),
        ("Rome", []),
    ],
)
def test_phrases(text: str, rows: list[list[str]]) -> None:
    question = asked(text)
    assert items(question, question.phrase_rows) == rows


@pytest.mark.parametrize(
    ("text", "size", "records"),
    [
        ("a box 2 m by 3 m and a box 4 m by 5 m", 2, [["2", "3"], ["4", "5"]]),
        ("the points (1, 2) and (3, 4)", 2, [["1", "2"], ["3", "4"]]),
        ("2 boxes: width 3 and depth 5, width 7 and depth 9", 2, [["3", "5"], ["7", "9"]]),
        ("a box 2 m by 3 m", 2, []),
        ("5 and 6 and 7 and 8", 1, []),
    ],
)
def test_records(text: str, size: int, records: list[list[str]]) -> None:
    question = asked(text)
    found = question.number_records(size)
    assert [[question.at(number.span) for number in record] for record in found] == records
