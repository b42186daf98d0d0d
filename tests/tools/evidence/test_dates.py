"""Dates: written out, relative to today, and in the form that a parameter asks for."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from localassist.tools.evidence.dates import dates, formatted, is_date_parameter, names_form

TODAY = date(2024, 5, 1)  # a Wednesday


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("on March 3rd, 2021 at noon", ["2021-03-03"]),
        ("from 2022-05-06 to 7 May 2022", ["2022-05-06", "2022-05-07"]),
        ("the 5th of June in 2020", ["2020-06-05"]),
        ("June 5", ["2024-06-05"]),
        ("April 5", ["2025-04-05"]),
        ("12/31/2024 and 31/12/2024", ["2024-12-31", "2024-12-31"]),
        ("Friday, May 3rd", ["2024-05-03"]),
        ("at 2024-05-10T10:00:00Z", ["2024-05-10"]),
        ("February 31, 2020", []),
        ("99/99/9999", []),
        ("", []),
    ],
)
def test_written_dates(text: str, days: list[str]) -> None:
    assert [mention.day.isoformat() for mention in dates(text, TODAY)] == days


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("tomorrow", "2024-05-02"),
        ("the day after tomorrow", "2024-05-03"),
        ("next Friday", "2024-05-03"),
        ("in two weeks", "2024-05-15"),
        ("a week from today", "2024-05-08"),
        ("3 days ago", "2024-04-28"),
    ],
)
def test_relative_dates(text: str, day: str) -> None:
    (mention,) = dates(f"Remind me {text}, please", TODAY)
    assert mention.is_relative and mention.day.isoformat() == day


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("groups of 5 may enter", 0),
        ("they march 3 miles", 0),
        ("You may 2 times try", 0),
        ("we leave on 5 may", 1),
        ("the 2nd of march", 1),
        ("May 2 would do", 1),
    ],
)
def test_verbs_are_no_months(text: str, count: int) -> None:
    assert len(dates(text, TODAY)) == count


@pytest.mark.parametrize("today", [date.min, date.max])
def test_the_ends_of_the_calendar(today: date) -> None:
    dates("last Friday, next year, in 9999 years, yesterday, December 31", today)


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"description": "The day, as MM/DD/YYYY"}, "03/04/2021"),
        ({"description": "In the form year-month-day"}, "2021-03-04"),
        ({"description": "DD.MM.YYYY"}, "04.03.2021"),
        ({"description": "The day"}, "2021-03-04"),
        ({"format": "date", "description": "not DD/MM/YYYY"}, "2021-03-04"),
    ],
)
def test_forms(schema: dict[str, Any], text: str) -> None:
    assert formatted(date(2021, 3, 4), schema) == text


@pytest.mark.parametrize(
    ("name", "schema", "holds_date", "has_form"),
    [
        ("start_date", {"description": "First day."}, True, False),
        ("deadline", {"description": "A date as YYYY-MM-DD."}, True, True),
        ("when", {"format": "date"}, True, True),
        ("title", {"description": "Of the event."}, False, False),
    ],
)
def test_parameters(name: str, schema: dict[str, Any], holds_date: bool, has_form: bool) -> None:
    assert is_date_parameter(name, schema) is holds_date
    assert names_form(schema) is has_form
