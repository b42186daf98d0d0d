"""Values of one kind in a question: joined by "and", with the same unit behind them, or the same
word before them. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from localassist.tools.evidence import Question
from localassist.tools.evidence.dates import formatted
from localassist.tools.evidence.lists import Row
from localassist.tools.evidence.phrases import is_name
from localassist.tools.evidence.words import Span, is_denied, mentions, options, stem
from localassist.tools.guided.draft import Draft
from localassist.tools.guided.schemas import fits, is_number, simplified
from localassist.tools.guided.sheet import Filled, reading_for

_SMALL = frozenset("the a an of is at for with and to by in on as its it's was has".split())
_BETWEEN = re.compile(r"\bbetween\s+$", re.IGNORECASE)
_ARTICLES = frozenset("the a an".split())


@dataclass(frozen=True, slots=True)
class _Around:
    """The words beside a value that tell its kind. ``joint`` is the very word before it."""

    before: str
    joint: str
    after: str
    mark: str

    def is_like(self, other: _Around, *, by_unit: bool = True) -> bool:
        """The same word before, or the same unit behind; a joint only where there is no word."""
        if self.mark != other.mark:
            return False
        if by_unit and self.after and self.after == other.after:
            return True
        if self.before or other.before:
            return self.before == other.before
        return bool(self.joint) and self.joint == other.joint


class Series:
    """For each argument of a draft, the values of its kind."""

    def __init__(self, draft: Draft, question: Question) -> None:
        self._draft = draft
        self._question = question
        self._schemas = {
            name: simplified(schema)
            for name, schema in draft.tool.parameters.get("properties", {}).items()
        }

    def all(self) -> dict[str, list[Filled]]:
        """In the order of the text; an argument without others of its kind has one value."""
        found: dict[str, list[Filled]] = {}
        used = list(self._draft.places)
        for name, filled in self._draft.filled.items():
            others = self._others(name, filled, used) if filled.places else []
            free = [
                other
                for other in others
                if not any(place.meets(taken) for place in other.places for taken in used)
                and all(place.start >= self._question.newest_from for place in other.places)
                and not any(is_denied(self._question.text, place) for place in other.places)
            ]
            used += [place for other in free for place in other.places]
            found[name] = sorted([filled, *free], key=lambda value: value.places[:1])
        self._complete(found, used)
        return found

    def _complete(self, found: dict[str, list[Filled]], used: list[Span]) -> None:
        """What is named once goes with what is left of its kind, if there is just enough of it for
        the other calls."""
        longest = max((len(values) for values in found.values()), default=1)
        if longest < 2:
            return
        alone = [name for name, values in found.items() if len(values) == 1 and values[0].places]
        numeric = [name for name in alone if is_number(self._schemas[name])]
        texts = [name for name in alone if self._schemas[name].get("type") == "string"]
        names = [name for name in texts if is_name(self._question.at(found[name][0].places[0]))]
        plain = [name for name in texts if name not in names]
        for group, left in ((numeric, self._numbers_left), (names, self._names_left)):
            self._deal(group, left, found, used, longest)
        for name in plain:
            self._deal([name], self._plain_left, found, used, longest)

    def _deal(
        self,
        names: Sequence[str],
        left: Callable[[Span], list[Span]],
        found: dict[str, list[Filled]],
        used: list[Span],
        longest: int,
    ) -> None:
        """Give the values that are left, in the order of the text, to the arguments in turn."""
        if not names:
            return
        order = sorted(names, key=lambda name: found[name][0].places[0])
        spans = [
            span
            for span in left(found[order[0]][0].places[0])
            if not any(span.meets(taken) for taken in used)
        ]
        if len(spans) != (longest - 1) * len(order) or spans[0] < found[order[-1]][0].places[0]:
            return
        dealt = {
            name: [self._value(span, name) for span in spans[place :: len(order)]]
            for place, name in enumerate(order)
        }
        if any(value is None for values in dealt.values() for value in values):
            return
        for name, values in dealt.items():
            found[name] += [value for value in values if value is not None]
        used += spans

    def _value(self, span: Span, name: str) -> Filled | None:
        schema, said = self._schemas[name], self._question.at(span)
        if is_number(schema):
            number = next(n for n in self._question.numbers if n.span == span)
            reading = reading_for(number, schema)
            value = None if reading is None else json.loads(reading)
        else:
            value = said if fits(said, schema) else None
        return None if value is None else Filled(value, "like the first call's", (span,))

    def _numbers_left(self, own: Span) -> list[Span]:
        return [number.span for number in self._question.numbers if not number.is_loose]

    def _names_left(self, own: Span) -> list[Span]:
        has_comma = "," in self._question.at(own)
        names = [
            span
            for span in self._question.phrases
            if is_name(said := self._question.at(span)) and (has_comma or "," not in said)
        ]
        return _longest(names)

    def _plain_left(self, own: Span) -> list[Span]:
        """Phrases of as many words behind the same joint: in the nucleus."""
        said, joint = self._question.at(own), self._around(own).joint
        return [
            span
            for span in self._question.phrases
            if span > own
            and len(self._question.at(span).split()) == len(said.split())
            and self._question.at(span) != said
            and not is_name(self._question.at(span))
            and self._around(span).joint == joint
        ]

    def _others(self, name: str, filled: Filled, used: Sequence[Span]) -> list[Filled]:
        schema = self._schemas[name]
        kind = schema.get("type")
        if _BETWEEN.search(self._question.before(filled.places[0])) is not None:
            return []  # between two values lies a range
        if kind == "array":
            return self._lists(filled, schema)
        if kind == "object" or isinstance(filled.value, bool):
            return []
        values = schema.get("enum") or (options(schema) if kind == "string" else [])
        if filled.value in values:
            said = self._options(values)
            if len(said) > 1 or "enum" in schema:
                return said
        if is_number(schema):
            return self._numbers(filled, schema)
        if any(filled.places[0] == mention.span for mention in self._question.dates):
            return self._dates(filled, schema)
        return self._texts(filled, schema, used)

    def _options(self, values: Sequence[Any]) -> list[Filled]:
        places = [(mentions(self._question.text, value), value) for value in values]
        return [
            Filled(value, "named in the question", (place,))
            for place, value in places
            if place is not None
        ]

    def _numbers(self, filled: Filled, schema: Mapping[str, Any]) -> list[Filled]:
        others = []
        recorded = self._recorded(filled, schema)
        if recorded:
            return recorded
        is_only = sum(map(is_number, self._schemas.values())) == 1
        in_digits = self._question.at(filled.places[0])[-1:].isdigit()
        for number in self._question.numbers:
            reading = None if number.is_loose else reading_for(number, schema)
            if in_digits != self._question.at(number.span)[-1:].isdigit():
                continue  # "three sides are 5, 4 and 3 units long"
            is_alike = self._is_alike(filled.places[0], number.span) or (
                is_only and self._has_same_mark(filled.places[0], number.span)
            )
            if reading is not None and is_alike:
                others.append(Filled(json.loads(reading), filled.evidence, (number.span,)))
        return others

    def _recorded(self, filled: Filled, schema: Mapping[str, Any]) -> list[Filled]:
        """The numbers at the same place of the other groups."""
        numeric = [name for name, schema in self._schemas.items() if is_number(schema)]
        required = self._draft.tool.parameters.get("required", ())
        records = self._question.number_records(sum(name in required for name in numeric))
        if not records:
            return []
        place = next((i for i, n in enumerate(records[0]) if n.span == filled.places[0]), None)
        others = []
        for record in records[1:] if place is not None else []:
            number = record[place or 0]
            reading = reading_for(number, schema)
            if reading is not None:
                others.append(Filled(json.loads(reading), filled.evidence, (number.span,)))
        return others

    def _dates(self, filled: Filled, schema: Mapping[str, Any]) -> list[Filled]:
        own = filled.places[0]
        joint = self._around(own).joint
        return [
            Filled(formatted(mention.day, schema), filled.evidence, (mention.span,))
            for mention in self._question.dates
            if mention.span != own
            and (self._around(mention.span).joint == joint or self._are_joined(own, mention.span))
        ]

    def _are_joined(self, one: Span, other: Span) -> bool:
        between = self._question.text[min(one.end, other.end) : max(one.start, other.start)]
        return re.fullmatch(r"\s*(?:,|and|,\s*and)\s*", between) is not None

    def _lists(self, filled: Filled, schema: Mapping[str, Any]) -> list[Filled]:
        """Lists of numbers, in turn for each argument that takes one."""
        items = simplified(schema.get("items", {}))
        brackets = self._question.brackets
        rows = brackets if any(row.items == filled.places for row in brackets) else None
        rows = self._question.number_rows if rows is None else rows
        own = next((at for at, row in enumerate(rows) if row.items == filled.places), None)
        if own is None or not is_number(items):
            return []
        others = [other.places for other in self._draft.filled.values()]
        turns = sum(row.items in others for row in rows)
        values = [(self._list_of(row, items), row.items) for row in rows[own % turns :: turns]]
        return [Filled(value, filled.evidence, at) for value, at in values if value is not None]

    def _list_of(self, row: Row, items: Mapping[str, Any]) -> list[Any] | None:
        numbers = [
            next((n for n in self._question.numbers if n.span.meets(item)), None)
            for item in row.items
        ]
        readings = [None if n is None else reading_for(n, items) for n in numbers]
        if any(reading is None for reading in readings):
            return None
        return [json.loads(reading) for reading in readings if reading is not None]

    def _texts(
        self, filled: Filled, schema: Mapping[str, Any], used: Sequence[Span]
    ) -> list[Filled]:
        own = filled.places[0]
        row = next((row.items for row in self._question.phrase_rows if own in row.items), ())
        beside = [span for span in row if span != own and not any(span.meets(u) for u in used)]
        spans = beside or self._alike_texts(own)
        return [
            Filled(self._question.at(span), filled.evidence, (span,))
            for span in spans
            if span != own and fits(self._question.at(span), schema)
        ]

    def _alike_texts(self, own: Span) -> list[Span]:
        """Other quotations or names, or phrases of as many words behind the same word."""
        quotes = self._question.quotations
        said = self._question.at(own)
        around = self._around(own)
        if own in quotes:
            alike = [quote for quote in quotes if self._is_alike(own, quote)]
            return alike or quotes
        phrases = [
            span
            for span in self._question.phrases
            if is_name(self._question.at(span)) == is_name(said)
            and around.is_like(self._around(span), by_unit=is_name(said))
        ]
        if not is_name(said):
            return [s for s in phrases if len(self._question.at(s).split()) == len(said.split())]
        return _longest(phrases)

    def _has_same_mark(self, own: Span, other: Span) -> bool:
        """Both are amounts of one currency."""
        mark = self._around(own).mark
        return own != other and mark != "" and mark == self._around(other).mark

    def _is_alike(self, own: Span, other: Span) -> bool:
        if own == other:
            return False
        rows = [*self._question.number_rows, *self._question.brackets]
        if any(own in row.items and other in row.items for row in rows):
            return True
        return self._around(own).is_like(self._around(other))

    def _around(self, span: Span) -> _Around:
        window = self._question.before(span)
        clause = re.split(r"[.;!?](?:\s|$)", window)[-1].lower()
        spoken = [word for word in re.findall(r"[a-z]+", clause) if word not in _ARTICLES][-2:]
        before = [stem(word) for word in spoken if word not in _SMALL]
        after = re.match(r"[\s-]*([a-z%°/]+)", self._question.after(span).lower())
        word = after.group(1) if after is not None else ""
        mark = window[-1:] if window[-1:] in ("$", "€", "£") else ""
        unit = "" if word in _SMALL else stem(word)
        return _Around("".join(before[-1:]), "".join(spoken[-1:]), unit, mark)


def _longest(spans: Sequence[Span]) -> list[Span]:
    """Those that no other of them holds."""
    return [s for s in spans if not any(s != other and other.holds(s) for other in spans)]
