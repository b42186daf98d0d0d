"""Numbers in digits and in words, and what each may mean."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from localassist.tools.evidence.spans import SpanSet, both_ends
from localassist.tools.evidence.words import Span

# Not a number: part of a name (AL2562), of a formula (2x^2) or of a unit (m/s^2).
_DIGITS = re.compile(
    r"(?<![\w.^])(?<!\^-)[-−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?"
    r"(?![\d^]|[xyz]\b|[xyz]\^|[x×]\d|/[A-Za-z])"
)
_POWER = re.compile(r"\s{0,3}[x×*·]\s{0,3}10\s{0,3}\^\s{0,3}([-−]?\d{1,4})(?!\d)")
_FACTORS = {
    "k": 1e3,
    "m": 1e6,
    "bn": 1e9,
    "thousand": 1e3,
    "million": 1e6,
    "billion": 1e9,
    "trillion": 1e12,
}
_FACTOR = re.compile(r"\s{0,3}(?:thousand|million|billion|trillion)\b|k\b|M\b|bn\b")
_NUMBER_WORD = (
    r"(?:zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen"
    r"|fifteen|sixteen|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty"
    r"|ninety|hundred|thousand|million|billion)\b"
)
_SPELLED = re.compile(
    rf"\b{_NUMBER_WORD}(?:[\s-]{{1,3}}(?:and\s{{1,3}})?{_NUMBER_WORD})*", re.IGNORECASE
)
_WORD = re.compile(r"[A-Za-z]+")
# Words that may stand for a number, and more often do not.
_LOOSE = {
    "dozen": "12",
    "half": "0.5",
    "single": "1",
    "once": "1",
    "first": "1",
    "double": "2",
    "twice": "2",
    "couple": "2",
    "second": "2",
    "third": "3",
    "fourth": "4",
    "fifth": "5",
    "sixth": "6",
    "seventh": "7",
    "eighth": "8",
    "ninth": "9",
    "tenth": "10",
}
_LOOSE_SPELLED = frozenset(["one", "two"])
_EXACT_DIGITS = 15  # of a whole number that a float holds without loss
_LONGEST_WHOLE = 18  # digits of what fits into 64 bits
_MOST_NUMBERS = 512


@dataclass(frozen=True, slots=True)
class Number:
    """A number in a text. ``readings`` are JSON texts of what it may mean, likeliest first.
    ``is_loose``: it may well be no number at all, such as the second of "the second one"."""

    span: Span
    readings: tuple[str, ...]
    is_percentage: bool = False
    is_loose: bool = False


def numbers(text: str) -> list[Number]:
    """Numbers in the order of the text, not all of very many; 5% is 0.05 or 5, 3 million is
    3000000."""
    found = [*_written(text)]
    for more in (_spelled, _loose):
        known = SpanSet(number.span for number in found)
        found += [number for number in more(text) if not known.meeting(number.span)]
    return both_ends(sorted(found, key=lambda number: number.span.start), _MOST_NUMBERS)


def number_text(value: float) -> str:
    rounded = round(value, 12) if abs(value) > 1e-6 else value
    is_whole = rounded == int(rounded) and abs(rounded) < 10**_EXACT_DIGITS
    return str(int(rounded)) if is_whole else repr(rounded)


def _written(text: str) -> Iterator[Number]:
    for match in _DIGITS.finditer(text):
        digits = match.group().replace(",", "").replace("−", "-")
        value = float(digits)
        end = match.end()
        power, factor = _POWER.match(text, end), _FACTOR.match(text, end)
        is_percentage = text[end : end + 8].lstrip().lower().startswith(("%", "percent"))
        readings = [value, -value] if value < 0 else [value]
        if power is not None:
            # Of a power that no float can hold, this makes infinity.
            readings, end = [value * float("1e" + power.group(1).replace("−", "-"))], power.end()
        elif factor is not None:
            readings = [value * _FACTORS[factor.group().strip().lower()]]
            end = factor.end()
        elif is_percentage:
            readings = [value / 100, value]
        elif _EXACT_DIGITS < len(digits) <= _LONGEST_WHOLE and digits.isdecimal():
            yield Number(Span(match.start(), end), (str(int(digits)),))
            continue
        # Beyond the range of a float there is nothing that JSON could hold.
        texts = tuple(number_text(reading) for reading in readings if math.isfinite(reading))
        if texts:
            yield Number(Span(match.start(), end), texts, is_percentage)


def _spelled(text: str) -> Iterator[Number]:
    from text_to_num import text2num

    for match in _SPELLED.finditer(text):
        phrase = re.sub(r"[\s-]+", " ", match.group()).lower()
        try:
            value = float(text2num(phrase, "en"))
        except ValueError:
            continue  # "one two three" is no number
        is_loose = phrase in _LOOSE_SPELLED
        yield Number(Span(*match.span()), (number_text(value),), is_loose=is_loose)


def _loose(text: str) -> Iterator[Number]:
    for match in _WORD.finditer(text):
        reading = _LOOSE.get(match.group().lower())
        if reading is not None:
            yield Number(Span(*match.span()), (reading,), is_loose=True)
