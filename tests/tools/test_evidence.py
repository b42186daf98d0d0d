"""What a question offers: numbers, dates, words."""

from __future__ import annotations

from datetime import date

import pytest

from localassist.tools import evidence


@pytest.mark.parametrize(
    ("text", "readings"),
    [
        ("base of 10 and height of 2.5", [("10",), ("2.5",)]),
        ("at 4.5% or 5 percent", [("0.045", "4.5"), ("0.05", "5")]),
        ("$1,250,000 and 3 million", [("1250000",), ("3000000", "3")]),
        ("x=3, from -7 to twenty", [("3",), ("-7", "7"), ("20",)]),
        ("route66 has no number but a66 has", [("66",), ("66",)]),
        ("nothing here", []),
    ],
)
def test_numbers(text: str, readings: list[tuple[str, ...]]) -> None:
    assert [number.readings for number in evidence.numbers(text)] == readings


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("on March 3rd, 2021 at noon", [date(2021, 3, 3)]),
        ("from 2022-05-06 to 7 May 2022", [date(2022, 5, 6), date(2022, 5, 7)]),
        ("the 5th of June in 2020", [date(2020, 6, 5)]),
        ("June 5", []),
        ("February 31, 2020", []),
    ],
)
def test_dates(text: str, days: list[date]) -> None:
    assert [span.day for span in evidence.dates(text)] == days


def test_dates_are_written_as_the_description_asks() -> None:
    day = date(2021, 3, 4)
    assert evidence.formatted(day, "The day, as MM/DD/YYYY") == "03/04/2021"
    assert evidence.formatted(day, "The day") == "2021-03-04"


def test_copyable_words_are_clean() -> None:
    text = "What's \"Moby Dick\" (by Mr. Melville's son)?"
    assert evidence.copyable(text) == "What's Moby Dick by Mr. Melville's son"


@pytest.mark.parametrize(
    ("name", "schema", "expected"),
    [
        ("unit", {"type": "string", "enum": ["celsius", "kelvin"]}, True),
        ("forecast_days", {"type": "integer"}, True),
        ("language", {"type": "string", "description": "Such as 'English'."}, False),
        ("name", {"type": "string"}, False),
    ],
)
def test_reasons_for_optional_parameters(
    name: str, schema: dict[str, object], expected: bool
) -> None:
    question = "Show the forecast for 3 days in celsius"
    assert evidence.speaks_of(question, name, schema) is expected


def test_proper_names_do_not_begin_a_sentence() -> None:
    text = "Tell me what I know of New York and Mamezou. Really, Leeds?"
    assert evidence.proper_names(text) == ["New York", "Mamezou", "Leeds"]


def test_words_of_identifiers() -> None:
    assert evidence.name_words("calcStrength_of-unit2B") == ["calc", "Strength", "of", "unit2", "B"]


@pytest.mark.parametrize("text", ["pay " + "9" * 400, "pay 1e400", "pay 1e300 trillion"])
def test_numbers_beyond_json_are_no_values(text: str) -> None:
    readings = [reading for number in evidence.numbers(text) for reading in number.readings]
    assert readings in ([], ["1e+300"])


@pytest.mark.parametrize("text", ["A" * 400_000, "A" * 400_000 + "!'s", "ab" * 200_000])
def test_long_words_take_no_quadratic_time(text: str) -> None:
    """Quadratic, this would run into the time limit of every test."""
    assert evidence.copyable(text).startswith(text[:100])
    evidence.speaks_of(text, "ababababababab", {"type": "string"})


def test_a_possessive_loses_its_s_and_a_name_keeps_it() -> None:
    assert evidence.copyable("the dog's tail, Levi's jeans, O'Neill's pub, Bob!'s") == (
        "the dog tail, Levi's jeans, O'Neill's pub, Bob!"
    )
