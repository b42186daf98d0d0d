"""What kind of answer a question wants, and whether a sentence has something of that kind."""

from __future__ import annotations

import re
from typing import Literal

from localassist.tools.evidence.numbers import numbers

Wanted = Literal["number", "date", "person", "place"]

# The first that fits. English, with the question words of a few more languages.
_KINDS: tuple[tuple[Wanted, re.Pattern[str]], ...] = (
    (
        "number",
        re.compile(
            r"\bhow (?:many|much|old|long|far|tall|high|large|big|often|fast|deep|wide|heavy)\b"
            r"|\b(?:what|which) (?:percent(?:age)?|number|amount|share|fraction|price|cost)\b"
            r"|\bwie ?viele?\b|\bcombien\b|\bcu[aá]nt[oa]s?\b|\bquant[oiae]\b",
            re.IGNORECASE,
        ),
    ),
    (
        "date",
        re.compile(
            r"\bwhen\b|\b(?:what|which) (?:\w+ )?(?:year|date|day|month|century|decade|time"
            r"|period)\b|\bwann\b|\bquand\b|\bcu[aá]ndo\b|\bquando\b",
            re.IGNORECASE,
        ),
    ),
    (
        "person",
        re.compile(r"\bwho(?:m|se)?\b|\bwer\b|\bwen\b|\bqui[eé]n(?:es)?\b|^qui\b", re.IGNORECASE),
    ),
    (
        "place",
        re.compile(
            r"\bwhere\b|\b(?:what|which) (?:city|country|state|place|region|continent|river|town"
            r"|location)\b|\bwo\b|\bo[uù] (?:se|est|sont)\b|\bd[oó]nde\b",
            re.IGNORECASE,
        ),
    ),
)
_DATE = re.compile(
    r"\b(?:1\d{3}|20\d\d)s?\b|\b\d{2,4} ?(?:BCE?|AD|CE)\b|\b\w+[- ]centur(?:y|ies)\b"
    r"|\b\d{1,2}(?:st|nd|rd|th)?[./ -]\d{1,2}[./ -]\d{2,4}\b"
    r"|\b(?:Jan(?:uary)?|Feb(?:ruary)?|March|April|May|June?|July?|Aug(?:ust)?|Sept(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?"
    r"|(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day)\b"
)
_ORDINAL = re.compile(r"\w+(?:st|nd|rd|th)|single|once|double", re.IGNORECASE)
_NAME = re.compile(r"(?<![.!?:]\s)(?<!^)(?<!^[\"“(])\b[A-ZÀ-Þ][\w’'-]*")
_IN_A_PLACE = re.compile(
    r"\b(?:in|at|near|from|to|on|of|through|throughout|within|across)\s+(?:the\s+)?[A-ZÀ-Þ]\w+"
)


def wanted_kind(question: str) -> Wanted | None:
    return next((kind for kind, form in _KINDS if form.search(question)), None)


def offers(sentence: str, kind: Wanted, question: str) -> bool:
    """The sentence has something of the kind that the question does not hold itself."""
    if kind == "number":
        return bool(_number_words(sentence) - _number_words(question))
    if kind == "date":
        return bool(set(_DATE.findall(sentence)) - set(_DATE.findall(question)))
    if kind == "person":
        asked = question.lower()
        return any(name.lower() not in asked for name in _NAME.findall(sentence))
    return _IN_A_PLACE.search(sentence) is not None


def _number_words(text: str) -> set[str]:
    said = [number for number in numbers(text)]
    return {
        number.readings[0]
        for number in said
        if not _ORDINAL.fullmatch(text[number.span.start : number.span.end])
    }
