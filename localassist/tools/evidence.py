"""What a question offers as argument values: numbers, dates, words, and names of parameters.

Pure text functions, English. They propose; the model chooses among what they found, so a miss costs
a value and never makes an argument invalid.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from difflib import SequenceMatcher
from typing import Any

from dateutil.parser import ParserError, parse

_NUMBER = re.compile(
    r"(?<![A-Za-z\d.])[-−]?\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?|(?<=[A-Za-z=(\[])\d+(?:\.\d+)?"
)
_MULTIPLIERS = {"thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}
_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty"
)
_TENS = "thirty forty fifty sixty seventy eighty ninety"
_NUMBER_WORDS: dict[str, float] = {
    **{word: value for value, word in enumerate(_UNITS.split())},
    **{word: 10 * tens for tens, word in enumerate(_TENS.split(), start=3)},
    "hundred": 100,
    "dozen": 12,
    "half": 0.5,
    "single": 1,
    "once": 1,
    "first": 1,
    "double": 2,
    "twice": 2,
    "second": 2,
    "third": 3,
}

_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_ORDINAL_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_YEAR = re.compile(r"\b(?:19|20)\d\d\b")
_DATE = re.compile(
    rf"\b(?:\d{{4}}-\d{{1,2}}-\d{{1,2}}|\d{{1,2}}[/-]\d{{1,2}}[/-]\d{{4}}"
    rf"|{_MONTH}\s+{_ORDINAL_DAY}(?:,?\s+\d{{4}})?"
    rf"|{_ORDINAL_DAY}\s+(?:of\s+)?{_MONTH}(?:,?\s+\d{{4}})?)\b",
    re.IGNORECASE,
)
_DATE_FORMATS = {
    "mm/dd/yyyy": "%m/%d/%Y",
    "dd/mm/yyyy": "%d/%m/%Y",
    "mm-dd-yyyy": "%m-%d-%Y",
    "dd-mm-yyyy": "%d-%m-%Y",
    "yyyy/mm/dd": "%Y/%m/%d",
}
_DATE_PARAMETER = re.compile(r"date|day|when|time|deadline|start|end|check|from|to\b|period")

_ABBREVIATIONS = frozenset("inc. mr. mrs. ms. dr. st. jr. sr. ltd. co. u.s. corp. vs. no.".split())
_STOP_WORDS = frozenset(
    "the a an of to in for and or is are be if on with by from default defaults not specified "
    "value values provided optional this that which it as at can used use using number string "
    "boolean whether should include name type list".split()
)
_PROPER_NAME = re.compile(r"(?<=[\w,;:'\"] )[A-Z][\w-]*(?: [A-Z][\w-]*)*")
_QUOTED = re.compile(r"['\"‘“]([A-Za-z][^'\"’”]{0,30})['\"’”]")


@dataclass(frozen=True, slots=True)
class Number:
    """A number at ``start``; ``readings`` are JSON texts of what it may mean, likeliest first."""

    start: int
    readings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DateSpan:
    start: int
    end: int
    day: date


def numbers(text: str) -> list[Number]:
    """Numbers in digits and in words, each with its readings: 5% is 0.05 or 5."""
    found = []
    for match in _NUMBER.finditer(text):
        digits = match.group().replace(",", "").replace("−", "-")
        try:
            value = float(digits)
        except ValueError:
            continue
        tail = text[match.end() : match.end() + 12].lower().lstrip()
        # Beyond the range of a float there is nothing that JSON could hold.
        finite = filter(math.isfinite, _readings(value, tail))
        readings = tuple(dict.fromkeys(_number_text(reading) for reading in finite))
        if readings:
            found.append(Number(match.start(), readings))
    for match in re.finditer(r"[a-z]+", text.lower()):
        if match.group() in _NUMBER_WORDS:
            value = _NUMBER_WORDS[match.group()]
            found.append(Number(match.start(), (_number_text(value),)))
    return found


def dates(text: str) -> list[DateSpan]:
    """Dates written out in the text. One without a year takes the text's first year, if any."""
    year = _YEAR.search(text)
    found = []
    for match in _DATE.finditer(text):
        span = re.sub(r"\bof\b", " ", match.group(), flags=re.IGNORECASE)
        if not re.search(r"\d{4}", span):
            if year is None:
                continue
            span = f"{span} {year.group()}"
        try:
            day = parse(span, default=datetime(2000, 1, 1)).date()
        except (ParserError, OverflowError):
            continue
        found.append(DateSpan(match.start(), match.end(), day))
    return found


def formatted(day: date, description: str) -> str:
    """The date in the form that the parameter's description asks for, ISO when it names none."""
    wanted = description.lower()
    for pattern, form in _DATE_FORMATS.items():
        if pattern in wanted:
            return day.strftime(form)
    return day.isoformat()


def is_date_parameter(name: str, schema: Mapping[str, Any]) -> bool:
    """The parameter holds a date, by its format, name or description."""
    if schema.get("format") == "date":
        return True
    description = str(schema.get("description", "")).lower()
    speaks_of_dates = "date" in name.lower() + description or "yyyy" in description
    return speaks_of_dates and _DATE_PARAMETER.search(name.lower()) is not None


def copyable(text: str) -> str:
    """The text as single words without quotes, brackets and punctuation at their ends, so that
    stretches of it make clean values."""
    words = []
    for raw in re.sub(r"[\"“”]", " ", text).split():
        word = raw.strip("'‘’`")
        if word.lower() not in _ABBREVIATIONS:
            word = word.rstrip(".?!;:'")
        if word.endswith("'s") and not _is_name(word[:-2]):
            word = word[:-2]
        words.append(word.strip("()"))
    return " ".join(word for word in words if word)


def _is_name(word: str) -> bool:
    """Its last part is capitalized: ``Levi``, ``O'Neill``."""
    part = re.split(r"\W", word)[-1]
    return re.search(r"[A-Z]\w", part) is not None


def quoted(description: str) -> list[str]:
    """Values that a description shows in quotes."""
    return _QUOTED.findall(description)


def mentions(text: str, value: object) -> bool:
    """The value occurs in the text as whole words, underscores read as spaces."""
    phrase = re.escape(str(value).lower().replace("_", " "))
    return re.search(rf"(?<!\w){phrase}(?!\w)", text.lower()) is not None


def speaks_of(text: str, name: str, schema: Mapping[str, Any]) -> bool:
    """The text gives a reason to set this optional parameter: its name or one of its values."""
    if any(mentions(text, value) for value in schema.get("enum", ())):
        return True
    description = str(schema.get("description", ""))
    is_text = schema.get("type") == "string"
    if is_text and any(mentions(text, value) for value in quoted(description)):
        return True
    named = [word.lower() for word in name_words(name) if word.lower() not in _STOP_WORDS]
    spoken = {stem(word) for word in words(text)}
    shared = {stem(word) for word in named} & spoken
    if named and len(shared) >= max(1, (len(named) + 1) // 2):
        return True
    long_words = [word for word in words(text) if len(word) > 4]
    return any(_alike(word, other) for word in named if len(word) > 4 for other in long_words)


def overlap(question: str, description: str) -> float:
    """Share of the question's meaningful words that the description has too."""
    asked = {stem(word) for word in words(question) if word not in _STOP_WORDS}
    offered = {stem(word) for word in words(description)}
    return len(asked & offered) / max(1, len(asked))


def proper_names(text: str) -> list[str]:
    """Capitalized words and phrases inside a sentence."""
    return [name for name in _PROPER_NAME.findall(text) if name != "I"]


def name_words(name: str) -> list[str]:
    """The words of an identifier: ``calcStrength`` and ``calc_strength`` have two."""
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    return [word for word in re.split(r"[_\W]+", spaced) if word]


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def stem(word: str) -> str:
    for suffix in ("ing", "ies", "es", "ed", "s"):
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            return word[: -len(suffix)]
    return word


def _alike(word: str, other: str) -> bool:
    if min(len(word), len(other)) < 0.75 * max(len(word), len(other)):
        return False  # too different in length to reach the ratio
    return SequenceMatcher(None, word, other).ratio() > 0.87


def _readings(value: float, tail: str) -> list[float]:
    if tail.startswith(("%", "percent")):
        return [value / 100, value]
    for word, factor in _MULTIPLIERS.items():
        if tail.startswith(word):
            return [value * factor, value]
    return [value, -value] if value < 0 else [value]


def _number_text(value: float) -> str:
    rounded = round(value, 12) if abs(value) > 1e-6 else value
    is_whole = rounded == int(rounded) and abs(rounded) < 1e15
    return str(int(rounded)) if is_whole else repr(rounded)
