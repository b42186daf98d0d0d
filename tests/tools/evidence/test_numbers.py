"""Numbers: what is one, and what it may mean."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.tools.evidence.numbers import number_text, numbers


@pytest.mark.parametrize(
    ("text", "readings"),
    [
        ("a box 10 wide and 2.5 high", [("10",), ("2.5",)]),
        ("at 4.5% or 5 percent", [("0.045", "4.5"), ("0.05", "5")]),
        ("$1,250,000 and 3 million and 40k", [("1250000",), ("3000000",), ("40000",)]),
        ("x=3, from -7 to twenty-one", [("3",), ("-7", "7"), ("21",)]),
        ("two hundred and five tiles, 1.5 x 10^3 grams", [("205",), ("1500",)]),
        ("10-20 apples", [("10",), ("20",)]),
        ("route66, 2x^2 and 9.8 m/s^2", [("9.8",)]),
        ("order 12345678901234567", [("12345678901234567",)]),
        ("a tenant in onerous tents with someone", []),
        ("nothing here", []),
        ("", []),
    ],
)
def test_readings(text: str, readings: list[tuple[str, ...]]) -> None:
    assert [number.readings for number in numbers(text)] == readings


@pytest.mark.parametrize(
    ("text", "loose"),
    [("the second one", [True, True]), ("a dozen eggs", [True]), ("seven eggs", [False])],
)
def test_words_that_may_be_no_number_are_loose(text: str, loose: list[bool]) -> None:
    assert [number.is_loose for number in numbers(text)] == loose


@pytest.mark.parametrize(
    "text",
    ["9" * 5000, "1e999", "2 x 10^400", "1e300 trillion", f"2 x 10^{'9' * 5000}"],
)
def test_numbers_beyond_json_are_no_values(text: str) -> None:
    for number in numbers(f"pay {text}"):
        assert all(abs(json.loads(reading)) <= 1e300 for reading in number.readings)


def test_places_are_right_behind_letters_that_grow_when_made_small() -> None:
    text = "İİ a dozen"
    (number,) = numbers(text)
    assert text[number.span.start : number.span.end] == "dozen"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_texts_of_numbers_are_json(value: float) -> None:
    assert json.loads(number_text(value)) == pytest.approx(value, rel=1e-9, abs=1e-9)
