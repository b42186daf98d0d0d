"""Days between dates, ages, and the days of the week."""

from __future__ import annotations

import re
from datetime import date

from localassist.tools.code_interpreter.worked.base import Asked, Worked, cell, literal
from localassist.tools.evidence.question import Question

_BETWEEN = re.compile(
    r"\b(?:how (?:many|long)|number of|wie viele)\b.{0,30}\b(day|week|month|year|tage?|wochen?)?"
    r".{0,20}\b(?:between|from|until|till|since|to|zwischen|seit|bis|are there|left|passed)\b"
    r"|\bdays? (?:between|until|since)\b|\bdifference between\b",
    re.IGNORECASE,
)
_WEEKDAY = re.compile(
    r"\b(?:what|which) (?:day of the week|weekday|day)\b|\bwelcher (?:wochen)?tag\b", re.IGNORECASE
)
_LATER = re.compile(
    r"\b(\d{1,5})\s+(day|week)s?\s+(after|before|from|later than)\b"
    r"|\badd\s+(\d{1,5})\s+(day|week)s?\b",
    re.IGNORECASE,
)


def calendar(asked: Asked) -> Worked | None:
    """A question about dates that it names, or about today."""
    question = Question(asked.text, asked.today)
    is_about_days = _BETWEEN.search(asked.text) or _WEEKDAY.search(asked.text)
    if asked.tables or not (is_about_days or _LATER.search(asked.text)):
        return None
    days = [mention.day for mention in question.dates]
    if not days:
        return None
    made = _later(asked, days) or _weekday(asked, days) or _between(asked, days)
    return None if made is None else Worked(made, "the dates of the question")


def _weekday(asked: Asked, days: list[date]) -> str | None:
    if _WEEKDAY.search(asked.text) is None:
        return None
    day = days[0]
    return cell(
        f"The day of the week of {day}",
        "from datetime import date",
        "",
        f"day = {_date(day)}",
        f'print({literal(f"{day} is a")}, day.strftime("%A"))',
    )


def _later(asked: Asked, days: list[date]) -> str | None:
    match = _LATER.search(asked.text)
    if match is None:
        return None
    count, unit = match[1] or match[4], (match[2] or match[5]).lower()
    is_before = (match[3] or "").lower() == "before"
    word, sign = ("before", "-") if is_before else ("after", "+")
    return cell(
        f"The day {count} {unit}s {word} {days[0]}",
        "from datetime import date, timedelta",
        "",
        f"day = {_date(days[0])} {sign} timedelta({unit}s={count})",
        f'print({literal(f"{count} {unit}s {word} {days[0]} is")}, day.strftime("%A, %Y-%m-%d"))',
    )


def _between(asked: Asked, days: list[date]) -> str | None:
    if _BETWEEN.search(asked.text) is None:
        return None
    first, last = sorted([days[0], days[1] if len(days) > 1 else asked.today])
    is_weeks = re.search(r"\b(?:weeks?|wochen)\b", asked.text, re.IGNORECASE) is not None
    lines = [
        f"first, last = {_date(first)}, {_date(last)}",
        "days = (last - first).days",
        f'print({literal(f"From {first} to {last}:")}, days, "days")',
    ]
    if is_weeks:
        lines.append('print("That is", days // 7, "weeks and", days % 7, "days.")')
    return cell(f"Days from {first} to {last}", "from datetime import date", "", *lines)


def _date(day: date) -> str:
    return f"date({day.year}, {day.month}, {day.day})"
