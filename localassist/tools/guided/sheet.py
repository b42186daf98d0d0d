"""What may fill one slot of a call, from its schema and the question. Pure: a model chooses
elsewhere (``filling``), and whatever it chooses is checked against the schema there.

A sheet remembers which parts of the question earlier slots have used, so that each is used once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from localassist.tools.evidence import Question
from localassist.tools.evidence.dates import formatted, is_date_parameter, names_form
from localassist.tools.evidence.lists import Row
from localassist.tools.evidence.numbers import Number
from localassist.tools.evidence.phrases import is_name
from localassist.tools.evidence.spans import both_ends
from localassist.tools.evidence.words import (
    Span,
    abbreviates,
    alludes,
    is_denied,
    mentions,
    name_words,
    named_at,
    options,
    speaks_of,
    stem,
    stems,
)
from localassist.tools.guided.schemas import description, fits, is_copyable, is_number, simplified

_FREE_TEXT = re.compile(
    r"text|message|content|body|query|sentence|comment|note|prompt|review|expression|function|code|sql"
)
_RATE = re.compile(r"rate|percent|interest|probability|ratio|share|frequency|discount|yield")
_LEADS: tuple[tuple[frozenset[str], frozenset[str]], ...] = (
    (frozenset("from".split()), frozenset("from origin start source departure base".split())),
    (frozenset("to into".split()), frozenset("to end destination target arrival".split())),
    (
        frozenset("in at near around".split()),
        frozenset("location city place area country region state venue address where".split()),
    ),
    (
        frozenset("from by at".split()),
        frozenset("manufacturer brand store shop company vendor seller retailer".split()),
    ),
    (frozenset(["by"]), frozenset("author artist composer writer creator painter by".split())),
    (
        frozenset("named called titled".split()),
        frozenset("name title".split()),
    ),
    (frozenset("on about regarding".split()), frozenset("topic subject".split())),
    (frozenset(["for"]), frozenset("company player patient user".split())),
)
_CUE, _LEAD, _QUOTE, _NAME = 3.0, 2.0, 2.0, 1.0
_OWN_WORD, _SUBJECT, _SAID_BEFORE = -1.5, -2.0, -6.0
_WHOLE_PLACE = 1.0
_PERCENT_CUE = 1.5
_LOOSE_GROUNDING, _PLAIN_GROUNDING, _CUED_GROUNDING = 0.3, 0.5, 0.8
_YEAR_CUE = 2.0
_PLACE = frozenset(stem(word) for word in "location place address destination origin".split())
_COUNTS = frozenset("count number limit num quantity amount top max results".split())
_MOST_CHOICES = 32


@dataclass(frozen=True, slots=True)
class Filled:
    """A value and where it came from; ``places`` are the parts of the question it was made of.

    ``grounding``, 0 to 1, is how sure it is that the question means this argument by them; None
    where that says nothing about the call.
    """

    value: Any
    evidence: str
    places: tuple[Span, ...] = ()
    grounding: float | None = 1.0


@dataclass(frozen=True, slots=True)
class Choice:
    """One candidate. ``bonus`` is what speaks for it besides the model, in nats."""

    filled: Filled
    bonus: float = 0.0
    is_loose: bool = False


class Sheet:
    """The question's material while one call is filled in. ``subject`` is what the tool says about
    itself: words of the request, hardly a value."""

    def __init__(self, question: Question, subject: str) -> None:
        self.question = question
        self._subject = stems(subject)
        self._taken: list[Span] = []

    def take(self, filled: Filled) -> None:
        self._taken += filled.places

    def is_free(self, span: Span) -> bool:
        return not any(span.meets(other) for other in self._taken)

    def has_reason(self, name: str, schema: Mapping[str, Any]) -> bool:
        """The question speaks of this optional slot."""
        return speaks_of(self.question.text, name, simplified(schema)) is not None

    # -- what needs no model ---------------------------------------------------------------------

    def settled(self, name: str, schema: Mapping[str, Any], *, required: bool) -> Filled | None:
        """The value that the question leaves no doubt about."""
        schema = simplified(schema)
        if "const" in schema:
            return Filled(schema["const"], "const", grounding=None)
        if "enum" in schema:
            return self._said_option(schema["enum"], "named in the question")
        kind = schema.get("type")
        if kind == "boolean":
            return self._assent(name, schema, required)
        if kind == "array":
            return self._list(schema)
        if kind == "string" and is_date_parameter(name, schema):
            return self._date(name, schema)
        if kind == "string" and is_copyable(schema):
            return self._said_option(options(schema), "value of the description")
        return None

    def _said_option(self, values: Sequence[Any], evidence: str) -> Filled | None:
        for find in (mentions, alludes):
            said = [(find(self.question.text, value), value) for value in values]
            places = [(place, value) for place, value in said if place is not None]
            free = [(place, value) for place, value in places if self.is_free(place)]
            free = [pair for pair in free if not self._is_denied(pair[0])] or free
            longest = [
                (place, value)
                for place, value in free
                if not any(other != place and other.holds(place) for other, _ in free)
            ]
            if longest:
                place, value = min(longest, key=lambda pair: pair[0].start)
                return Filled(value, evidence, (place,))
        return None

    def _is_denied(self, place: Span) -> bool:
        return is_denied(self.question.text, place)

    def _assent(self, name: str, schema: Mapping[str, Any], required: bool) -> Filled | None:
        place = named_at(self.question.text, name)
        if place is not None:
            denied = is_denied(self.question.text, place)
            return Filled(not denied, "denied in the question" if denied else "asked for")
        if not required:
            return None
        value = _default(schema)
        return Filled(value, "default" if value else "not asked for", grounding=None)

    def _date(self, name: str, schema: Mapping[str, Any]) -> Filled | None:
        free = [mention for mention in self.question.dates if self.is_free(mention.span)]
        if not free:
            return None
        # Whoever says "tomorrow, June 1" has named the day.
        free = [mention for mention in free if not mention.is_relative] or free
        mention = max(free, key=lambda found: self._cue(name, found.span))
        said = self.question.at(mention.span)
        wants_form = names_form(schema) or not mention.is_relative
        value = formatted(mention.day, schema) if wants_form else said
        return Filled(value, "date in the question", (mention.span,))

    def _list(self, schema: Mapping[str, Any]) -> Filled | None:
        items = simplified(schema.get("items", {}))
        if "enum" in items:
            return self._options(items["enum"])
        if items.get("type") in ("string", None) and options(schema):
            named = self._options(options(schema))
            if named is not None:
                return named
        rows = [*self.question.brackets]
        if is_number(items):
            rows += self.question.number_rows
        elif items.get("type") in ("string", None) and is_copyable(items):
            rows += self.question.phrase_rows
        for row in rows:
            if self.is_free(row.span):
                found = self._row(row, items)
                if found is not None and fits(found.value, schema):
                    return found
        return None

    def _row(self, row: Row, items: Mapping[str, Any]) -> Filled | None:
        texts = [self.question.at(item) for item in row.items]
        if is_number(items):
            values: list[Any] = []
            for item in row.items:
                number = next((n for n in self.question.numbers if n.span.meets(item)), None)
                reading = None if number is None else reading_for(number, items)
                if reading is None:
                    return None
                values.append(json.loads(reading))
            return Filled(values, "numbers in a row", row.items)
        return Filled(texts, "phrases in a row", row.items)

    def _options(self, values: Sequence[Any]) -> Filled | None:
        """All options that are mentioned, in the order of the text."""
        places = [(alludes(self.question.text, value), value) for value in values]
        said = [(place, value) for place, value in places if place is not None]
        for value in values:
            place = abbreviates(self.question.text, value)
            if place is not None and not any(place.meets(other) for other, _ in said):
                said.append((place, value))
        said = [pair for pair in said if not self._is_denied(pair[0])] or said
        if not said:
            return None
        said.sort(key=lambda pair: pair[0].start)
        return Filled(
            [value for _, value in said], "named in the question", tuple(place for place, _ in said)
        )

    # -- numbers ---------------------------------------------------------------------------------

    def numbers(self, schema: Mapping[str, Any]) -> list[Choice]:
        """Free numbers that fit, those that may be none at all only if there are no others."""
        found = []
        for number in self.question.numbers:
            reading = reading_for(number, schema)
            if reading is not None and self.is_free(number.span):
                grounding = _LOOSE_GROUNDING if number.is_loose else 1.0
                places = (number.span,)
                filled = Filled(json.loads(reading), "number in the question", places, grounding)
                found.append((number.is_loose, filled))
        sure = [Choice(filled) for is_loose, filled in found if not is_loose]
        loose = [Choice(filled, is_loose=True) for is_loose, filled in found if is_loose]
        return both_ends(sure or loose, _MOST_CHOICES)

    def lateness(self, place: Span) -> float:
        """What speaks against a place: of equals the first is taken, for others may be for other
        calls; and what was said earlier in the conversation comes last."""
        said_before = _SAID_BEFORE if place.start < self.question.newest_from else 0.0
        return said_before - place.start / max(1, len(self.question.text))

    def number_cue(self, name: str, schema: Mapping[str, Any], place: Span) -> float:
        """How much the words around a number speak of the slot."""
        wanted = {stem(word.lower()): 2.0 for word in name_words(name)}
        for word in stems(description(schema)):
            wanted.setdefault(word, 0.7)
        before, after = self._around(place)
        total = _year_cue(name, self.question.at(place)) + self._percent_cue(name, schema, place)
        total += _SAID_BEFORE if place.start < self.question.newest_from else 0.0
        for distance, word in enumerate(reversed(before)):
            total += wanted.get(stem(word), 0.0) / (1 + 0.3 * distance)
        for distance, word in enumerate(after):
            total += wanted.get(stem(word), 0.0) / (1.2 + 0.5 * distance)
        return total

    def _percent_cue(self, name: str, schema: Mapping[str, Any], place: Span) -> float:
        """Percentages belong to rates, and to nothing else."""
        number = next(number for number in self.question.numbers if number.span == place)
        if not number.is_percentage:
            return 0.0
        is_rate = _RATE.search(f"{name} {description(schema)}".lower()) is not None
        return _PERCENT_CUE if is_rate else -_PERCENT_CUE

    def _around(self, place: Span) -> tuple[list[str], list[str]]:
        """Words near a number: back to the number before it, and on to the next break."""
        # A unit behind a row of numbers is that of each.
        place = next((r.span for r in self.question.number_rows if place in r.items), place)
        others = [number.span for number in self.question.numbers if not number.is_loose]
        earlier = max((span.end for span in others if span.end <= place.start), default=0)
        later = min(
            (span.start for span in others if span.start >= place.end),
            default=len(self.question.text),
        )
        # Of the text beside the number, no more than reaches to its neighbours.
        beside = self.question.before(place)[-max(1, place.start - earlier) :]
        behind = self.question.after(place)[: max(0, later - place.end)]
        before = re.split(r"[.;!?](?:\s|$)", beside)[-1].lower()
        after = re.split(r"[.,;!?](?:\s|$)|\band\b", behind)[0].lower()
        return re.findall(r"[a-z]+", before)[-8:], re.findall(r"[a-z]+", after)[:4]

    # -- texts -----------------------------------------------------------------------------------

    def texts(self, name: str, schema: Mapping[str, Any]) -> list[Choice]:
        """Free phrases, quotations first, each with what speaks for it."""
        quotes = [quote for quote in self.question.quotations if self.is_free(quote)]
        spans = [span for span in self.question.phrases if self.is_free(span)]
        own = {stem(word.lower()) for word in name_words(name)}
        choices = []
        for span in dict.fromkeys([*quotes, *spans]):
            said = self.question.at(span)
            if not fits(said, schema):
                continue
            bonus = self._cue(name, span) + (_QUOTE if span in quotes else 0.0)
            if not (span in quotes or is_name(said)) and own & stems(said):
                bonus += _OWN_WORD
            elif span not in quotes and stems(said) <= self._subject:
                bonus += _SUBJECT
            if is_name(said):
                bonus += _NAME
            if "," in said and _PLACE & own:
                bonus += _WHOLE_PLACE
            grounding = _phrase_grounding(bonus, is_certain=span in quotes or is_name(said))
            filled = Filled(said, "words of the question", (span,), grounding)
            choices.append(Choice(filled, bonus))
        choices.sort(key=lambda choice: choice.bonus, reverse=True)
        return choices[:_MOST_CHOICES]

    def _cue(self, name: str, span: Span) -> float:
        """What the words right beside a phrase say about whose value it is."""
        own = {stem(word.lower()) for word in name_words(name)}
        before = re.findall(r"[a-z]+", self.question.before(span).lower())[-3:]
        after = re.findall(r"[a-z]+", self.question.after(span).lower())[:1]
        near = {stem(word) for word in before[-2:] + after}
        total = _CUE * len(own & near) / max(1, len(own))
        if is_name(self.question.at(span)) and own & stems(self.question.at(span)):
            total += _CUE
        plain = {word.lower() for word in name_words(name)}
        last = [word for word in before if word not in ("the", "a", "an")][-1:]
        for leads, names in _LEADS:
            if names & plain:
                total += _LEAD if last and last[0] in leads else 0.0
        return total


def counts(name: str) -> bool:
    """The slot says how many."""
    return bool(_COUNTS & {word.lower() for word in name_words(name)})


def states_default(schema: Mapping[str, Any]) -> bool:
    return "default" in schema or "default" in description(schema).lower()


def _year_cue(name: str, digits: str) -> float:
    """Numbers that look like years belong to slots of that name, and to no others."""
    looks = re.fullmatch(r"(?:1[5-9]|20)\d\d", digits) is not None
    named = "year" in name.lower() and "years" not in name.lower()
    return (_YEAR_CUE if looks else -_YEAR_CUE) if named else 0.0


def _phrase_grounding(bonus: float, *, is_certain: bool) -> float:
    """Names and quotations are hardly there by chance; words of the tool's own text say nothing."""
    if is_certain:
        return 1.0
    if bonus < 0:
        return 0.0
    return _CUED_GROUNDING if bonus >= _LEAD else _PLAIN_GROUNDING


def is_free_text(name: str) -> bool:
    """The slot takes whole sentences."""
    return _FREE_TEXT.search(name.lower()) is not None


def reading_for(number: Number, schema: Mapping[str, Any]) -> str | None:
    """What a number means to a slot; None when nothing of it fits."""
    schema = simplified(schema)
    fitting = [reading for reading in number.readings if fits(json.loads(reading), schema)]
    if number.is_percentage and "percent" in description(schema).lower():
        return fitting[-1] if fitting else None
    return fitting[0] if fitting else None


def _default(schema: Mapping[str, Any]) -> bool:
    stated = re.search(
        r"default(?:s)?(?: is| to|:)?\s*['\"]?(true|false)", description(schema).lower()
    )
    if stated is not None:
        return stated.group(1) == "true"
    return bool(schema.get("default", False))
