"""Dates in a text, written out or relative to today, and the forms that parameters ask for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from localassist.tools.evidence.spans import both_ends
from localassist.tools.evidence.words import Span

_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_YEAR = re.compile(r"\b(?:19|20)\d\d\b")
_WEEKDAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_TIME = r"(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})?)?"
_GAP = r"\s{0,3}"
_WRITTEN = re.compile(
    rf"\b(?:\d{{4}}[-/]\d{{1,2}}[-/]\d{{1,2}}(?!\d){_TIME}|\d{{1,2}}[/.-]\d{{1,2}}[/.-]\d{{4}}(?!\d)"
    rf"|(?:{_WEEKDAY},?{_GAP}(?:the{_GAP})?)?(?:{_MONTH}{_GAP}{_DAY}(?:,?{_GAP}\d{{4}})?(?!\d)"
    rf"|{_DAY}{_GAP}(?:of{_GAP})?{_MONTH}(?:,?{_GAP}\d{{4}})?(?!\d)))",
    re.IGNORECASE,
)
_SOME = r"(?:a|an|one|two|three|four|five|six|seven|eight|nine|ten|\d{1,4})"
_LENGTH = rf"{_SOME}\s(?:day|week|month|year)s?"
_RELATIVE = re.compile(
    rf"\b(?:(?:the\s)?day\s(?:after\stomorrow|before\syesterday)|today|tonight|tomorrow|yesterday"
    rf"|(?:next|last|this)\s(?:{_WEEKDAY}|week|month|year)"
    rf"|in\s{_LENGTH}|{_LENGTH}\sfrom\s(?:now|today)|{_SOME}\s(?:day|week)s?\sago|{_WEEKDAY})\b",
    re.IGNORECASE,
)
# "You may 3 times", "they march 5 miles": months only behind a word that leads to a date, with "of"
# or an ending of the day, or beside a year.
_VERBAL = re.compile(r"\b(?:may|march)\b")
_SURELY_A_DAY = re.compile(r"\d(?:st|nd|rd|th)\b|\bof\b|\d{4}|day\b", re.IGNORECASE)
_LEADS_TO_A_DAY = re.compile(
    r"(?:\b(?:on|by|from|to|until|till|before|after|since|for|between|and|due|starting|ending"
    r"|date|the|is)|[-–:,(]|^)\s*$",
    re.IGNORECASE,
)
_LEAD_WINDOW = 16  # characters
_PLAINER = re.compile(r"\b(?:the|of)\b", re.IGNORECASE)  # dateparser does without them
_MOST_DATES = 64  # each takes about a millisecond to read
# How a description names a form, and how strftime does.
_FORMS = (
    (r"y{4}", "%Y"),
    (r"m{2}", "%m"),
    (r"d{2}", "%d"),
    (r"y{2,3}", "%Y"),
    (r"\byear\b", "%Y"),
    (r"\bmonth\b", "%m"),
    (r"\bday\b", "%d"),
)
_PATTERN = re.compile(
    r"(?:y{2,4}|m{2}|d{2})(?:[-/.](?:y{2,4}|m{2}|d{2})){2}"
    r"|(?:year|month|day)(?:[-/](?:year|month|day)){2}",
    re.IGNORECASE,
)
_PARAMETER = re.compile(r"date|day|when|time|deadline|start|end|check|from|to\b|period")


@dataclass(frozen=True, slots=True)
class DateMention:
    """``is_relative``: the text counts from today, and so does ``day``."""

    span: Span
    day: date
    is_relative: bool = False


def dates(text: str, today: date) -> list[DateMention]:
    """Dates in the order of the text, not all of very many. One without a year takes the text's
    first year if it has one, and otherwise the next such day after ``today``."""
    year = _YEAR.search(text)
    found: list[DateMention] = []
    for pattern, is_relative in ((_WRITTEN, False), (_RELATIVE, True)):
        for match in both_ends(list(pattern.finditer(text)), _MOST_DATES):
            span = Span(*match.span())
            if _is_verb(text, span) or any(span.meets(other.span) for other in found):
                continue
            phrase = match.group()
            if not is_relative and year is not None and not re.search(r"\d{4}", phrase):
                phrase = f"{phrase} {year.group()}"
            day = _parsed(phrase, today)
            if day is not None:
                found.append(DateMention(span, day, is_relative))
    return sorted(found, key=lambda mention: mention.span.start)


def names_form(schema: Mapping[str, Any]) -> bool:
    """The parameter says in which form it wants a date."""
    description = str(schema.get("description", ""))
    return schema.get("format") == "date" or _PATTERN.search(description) is not None


def formatted(day: date, schema: Mapping[str, Any]) -> str:
    """The date in the form that the parameter's description asks for, ISO when it names none."""
    pattern = _PATTERN.search(str(schema.get("description", "")))
    if pattern is None or schema.get("format") == "date":
        return day.isoformat()
    form = pattern.group().lower()
    for named, code in _FORMS:
        form = re.sub(named, code, form, count=1)
    return day.strftime(form)


def is_date_parameter(name: str, schema: Mapping[str, Any]) -> bool:
    """The parameter holds a date, by its format, name or description."""
    if schema.get("format") == "date":
        return True
    description = str(schema.get("description", "")).lower()
    speaks_of_dates = (
        "date" in name.lower() + description or "yyyy" in description or "day" in name.lower()
    )
    return speaks_of_dates and _PARAMETER.search(name.lower()) is not None


def _is_verb(text: str, span: Span) -> bool:
    """The month is a word of the sentence: "groups of 5 may enter"."""
    said = text[span.start : span.end]
    if _VERBAL.search(said) is None or _SURELY_A_DAY.search(said) is not None:
        return False
    return _LEADS_TO_A_DAY.search(text[max(0, span.start - _LEAD_WINDOW) : span.start]) is None


def _parsed(phrase: str, today: date) -> date | None:
    """By dateparser, in English, month first where it is ambiguous."""
    import dateparser

    settings: Any = {
        "RELATIVE_BASE": datetime(today.year, today.month, today.day),
        "PREFER_DATES_FROM": "future",
        "DATE_ORDER": "YMD" if re.match(r"\d{4}", phrase) else "MDY",
    }
    plain = _PLAINER.sub(" ", phrase).replace("from today", "from now").strip()
    try:
        found = dateparser.parse(plain, languages=["en"], settings=settings)
    except (OverflowError, ValueError):
        return None  # before the first year or after the last
    return None if found is None else found.date()
