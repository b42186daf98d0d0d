"""Several values in a row: in brackets, or joined by commas and "and"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from localassist.tools.evidence.numbers import Number
from localassist.tools.evidence.phrases import is_name
from localassist.tools.evidence.spans import both_ends
from localassist.tools.evidence.words import Span

_BRACKETS = re.compile(r"[\[({]([^\[\](){}]*)[\])}]")
_GLUE = re.compile(
    r"\s{0,9}(?:[,;]\s{0,9}(?:and|or)\b|,|;|&|\band\b|\bor\b|\bas well as\b)"
    r"\s{0,9}(?:(?:in|at|of|for)\s{1,9})?(?:the\s{1,9})?['\"“‘`]?"
)
_NUMBER_GLUE = re.compile(r"[\s%$€£]*(?:[,;]?\s*\band\b|[,;&])[\s$€£]*")
_PLACE = re.compile(r"[^,]+, (?:(?!and\b)[^,\s]+ ?){1,3}")
_IN_A_PLACE = re.compile(r"\s*,\s*(?:(?:in|at|of|for)\s+)?(?:the\s+)?")
_PLACES_GLUE = re.compile(r"\s{1,9}and\s{1,9}(?:in\s{1,9})?")
_LONGEST_GLUE = 24  # characters
_AND = re.compile(r"\b(?:and|or)\b|,")
_AND_LAST = re.compile(r"\s*[,;]\s*(?:and|or)\b")
_QUOTE_MARKS = "'\"“”‘’`"
_WORDS_OF_AN_ITEM = 3
_MOST_ROWS = 64
_MOST_ITEMS = 512


@dataclass(frozen=True, slots=True)
class Row:
    """Values that stand side by side. ``items`` are their places in the text."""

    span: Span
    items: tuple[Span, ...]


def bracketed(text: str) -> list[Row]:
    """Lists written with brackets or parentheses; JSON objects are none."""
    rows = []
    for match in _BRACKETS.finditer(text):
        inner = match.group(1)
        is_object = match.group()[0] == "{" and ":" in inner
        if is_object or not 0 < inner.count(",") < _MOST_ITEMS:
            continue
        items = tuple(_items(inner, match.start(1)))
        if len(items) > 1:
            rows.append(Row(Span(*match.span()), items))
    return both_ends(rows, _MOST_ROWS)


def number_rows(text: str, found: Sequence[Number]) -> list[Row]:
    """Numbers with nothing but commas and "and" between them, single ones left out."""
    rows: list[list[Span]] = []
    for number in found:
        if rows and _is_number_glue(text, rows[-1][-1].end, number.span.start):
            rows[-1].append(number.span)
        else:
            rows.append([number.span])
    several = [Row(_whole(row), tuple(row)) for row in rows if len(row) > 1]
    return both_ends(several, _MOST_ROWS)


def phrase_rows(text: str, quotations: Sequence[Span], phrases: Sequence[Span]) -> list[Row]:
    """Phrases of one kind joined by commas and "and": "Rome, Paris and Los Angeles"."""
    quotes = frozenset(quotations)
    places = _place_rows(text, phrases)
    longest: dict[int, Span] = {}
    for span in phrases:
        said = _at(text, span)
        if span in quotes or (_AND.search(said) is None and (is_name(said) or " of " not in said)):
            longest[span.start] = max(span, longest.get(span.start, span), key=lambda s: s.end)
    rows: list[Row] = []
    for first in sorted(longest.values()):
        if rows and first.start < rows[-1].span.end:
            continue
        if any(first.meets(row.span) for row in places):
            continue
        row = [first]
        while (joint := _GLUE.match(text, _after(row[-1], quotes))) is not None:
            following = longest.get(joint.end())
            if len(row) == 1 and first not in quotes and _AND_LAST.match(joint.group()):
                break  # ", and" ends a list of three or more, or begins a clause
            if following is None or not _alike(text, first, following, quotes):
                break
            row.append(following)
        if len(row) > 1 and not _is_place(text, row):
            rows.append(Row(_whole(row), tuple(row)))
    return both_ends(sorted([*places, *rows], key=lambda row: row.span), _MOST_ROWS)


def _place_rows(text: str, phrases: Sequence[Span]) -> list[Row]:
    """Places, each with what it lies in: "Boston, MA and Portland, OR"."""
    places = {s.start: s for s in phrases if _PLACE.fullmatch(text, s.start, s.end)}
    rows: list[Row] = []
    for first in places.values():
        if rows and first.start < rows[-1].span.end:
            continue
        row = [first]
        while (joint := _PLACES_GLUE.match(text, row[-1].end)) is not None:
            following = places.get(joint.end())
            if following is None:
                break
            row.append(following)
        if len(row) > 1:
            rows.append(Row(_whole(row), tuple(row)))
    return both_ends(rows, _MOST_ROWS)


def _items(inner: str, shift: int) -> Iterator[Span]:
    """What stands between commas, without white space and quotation marks around it."""
    start = 0
    for part in inner.split(","):
        said = part.strip().strip(_QUOTE_MARKS).strip()
        if said:
            at = shift + start + part.index(said)
            yield Span(at, at + len(said))
        start += len(part) + 1


def _is_number_glue(text: str, start: int, end: int) -> bool:
    return end - start <= _LONGEST_GLUE and _NUMBER_GLUE.fullmatch(text, start, end) is not None


def _whole(row: Sequence[Span]) -> Span:
    return Span(row[0].start, row[-1].end)


def _after(span: Span, quotes: frozenset[Span]) -> int:
    """Behind the closing quotation mark, if there is one."""
    return span.end + 1 if span in quotes else span.end


def _alike(text: str, first: Span, second: Span, quotes: frozenset[Span]) -> bool:
    if first in quotes or second in quotes:
        return first in quotes and second in quotes
    one, other = _at(text, first), _at(text, second)
    if is_name(one) or is_name(other):
        return is_name(one) and is_name(other)
    is_short = max(len(one.split()), len(other.split())) <= _WORDS_OF_AN_ITEM
    return is_short and not any(character.isdigit() for character in one + other)


def _is_place(text: str, row: Sequence[Span]) -> bool:
    """Two names with hardly more than a comma between them are one: "Rome, in Italy"."""
    return len(row) == 2 and _IN_A_PLACE.fullmatch(text, row[0].end, row[1].start) is not None


def _at(text: str, span: Span) -> str:
    return text[span.start : span.end]
