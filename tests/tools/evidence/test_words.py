"""Words: what a text speaks of, and whether it says no."""

from __future__ import annotations

from typing import Any

import pytest

from localassist.tools.evidence.words import (
    Span,
    abbreviates,
    alludes,
    is_denied,
    mentions,
    name_words,
    options,
    speaks_of,
)


def at(text: str, span: Span | None) -> str | None:
    return None if span is None else text[span.start : span.end]


def test_words_of_identifiers() -> None:
    assert name_words("calcStrength_of-unit2B") == ["calc", "Strength", "of", "unit2", "B"]


@pytest.mark.parametrize(
    ("text", "value", "found"),
    [
        ("in dark-blue or dark blue", "dark_blue", "dark-blue"),
        ("USA or usa", "usa", "usa"),
        ("kilograms", "gram", None),
        ("C++ or C", "C++", "C++"),
        ("anything", "", None),
        ("anything", " ", None),
        ("for 5 days", 5, "5"),
    ],
)
def test_mentions(text: str, value: object, found: str | None) -> None:
    assert at(text, mentions(text, value)) == found


@pytest.mark.parametrize(
    ("text", "value", "found"),
    [
        ("İ want detailed output", "detail", "detailed"),
        ("two sorted lists", "sort_list", "sorted lists"),
        ("an apple", "an orange", None),
    ],
)
def test_alludes(text: str, value: str, found: str | None) -> None:
    assert at(text, alludes(text, value)) == found


def test_abbreviates() -> None:
    text = "show Carbs and fat"
    assert at(text, abbreviates(text, "carbohydrates")) == "Carbs"
    assert abbreviates(text, "fatty acids") is None
    assert abbreviates("car", "carbohydrates") is None


@pytest.mark.parametrize(
    ("text", "denied"),
    [
        ("without the tax", True),
        ("do not include any tax", True),
        ("please don’t add tax", True),
        ("no rush, but with tax", False),
        ("This is not it. Add tax", False),
        ("add tax", False),
    ],
)
def test_denial(text: str, denied: bool) -> None:
    place = mentions(text, "tax")
    assert place is not None
    assert is_denied(text, place) is denied


@pytest.mark.parametrize(
    ("name", "schema", "found"),
    [
        ("unit", {"type": "string", "enum": ["celsius", "kelvin"]}, "celsius"),
        ("forecast_days", {"type": "integer"}, "forecast for 3 days"),
        ("style", {"type": "string", "description": "Such as 'long' or 'short'."}, "short"),
        ("language", {"type": "string", "description": "Such as 'English'."}, None),
        ("multi_day", {"type": "boolean"}, "days"),
        ("_", {"type": "string"}, None),
    ],
)
def test_reasons_for_optional_parameters(
    name: str, schema: dict[str, Any], found: str | None
) -> None:
    question = "Show the short forecast for 3 days in celsius"
    assert at(question, speaks_of(question, name, schema)) == found


def test_options_of_a_description() -> None:
    schema = {"description": "The size, such as small, medium or large. Not 'huge'."}
    assert options(schema) == ["huge", "small", "medium", "large"]


def test_a_place_in_what_it_lies_in_is_one_option() -> None:
    asks = "The city and state, e.g. San Francisco, CA"
    assert options({"description": asks}) == ["San Francisco, CA"]
    assert options({"description": "The city, e.g. Rome or Paris"}) == ["Rome", "Paris"]
    assert options({"description": "The unit, e.g. Celsius, Kelvin"}) == ["Celsius", "Kelvin"]
