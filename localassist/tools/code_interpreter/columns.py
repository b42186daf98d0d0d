"""Which columns of a table a question means, and which rows."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from localassist.tools.code_interpreter.tables import Column, Kind, Table
from localassist.tools.code_interpreter.wording import Measure, Plot, measure_of, plot_of
from localassist.tools.evidence.words import Span, alludes, mentions, name_words, stem

# Words that speak of a column under another name, by stems. A few per language are enough.
_SYNONYMS = (
    "sale sales revenue turnover umsatz verkauf amount income earnings",
    "price cost preis kosten expensive cheap cheaper cheapest",
    "date day time month year datum tag zeit monat jahr week",
    "person name who player customer employee kunde spieler",
    "country land nation",
    "city stadt town",
    "age alter old older oldest young younger youngest",
    "salary wage pay gehalt lohn income",
    "quantity amount units menge anzahl count sold",
    "product item artikel produkt",
    "category kategorie type class group kind",
    "score points grade punkte note mark rating",
    "height size größe tall taller tallest",
    "weight mass gewicht heavy heavier heaviest",
    "temperature temp temperatur hot hotter hottest warm warmer warmest cold colder coldest",
    "population inhabitants einwohner people",
)
_SYNONYM_STEMS = tuple(frozenset(map(stem, line.split())) for line in _SYNONYMS)
_BY = (
    r"\b(?:by|per|across|for each|in each|of each|for every|each|grouped by|over|versus|vs\.?"
    r"|je|pro|nach|pro jede[rsn]?|für jede[nrs]?)\s+(?:the\s+|each\s+|every\s+|all\s+)?"
)
_ABOVE = re.compile(
    r"\b(?:above|over|(?:more|greater|higher|larger|bigger|older|taller|longer|heavier|hotter|warmer"
    r"|later|better) than|exceed(?:s|ing)?|at least|mehr als|über|mindestens)\s*[$€£]?|>=?\s*",
    re.IGNORECASE,
)
_BELOW = re.compile(
    r"\b(?:below|under|(?:less|smaller|lower|fewer|younger|cheaper|shorter|lighter|colder|earlier"
    r"|worse) than|at most|weniger als|unter|höchstens)\s*[$€£]?|<=?\s*",
    re.IGNORECASE,
)
_INCLUSIVE = re.compile(r"at least|at most|=|mindestens|höchstens", re.IGNORECASE)
_DIGITS = re.compile(r"-?\d+(?:,\d{3})*(?:\.\d+)?")
_YEAR = re.compile(r"\b(?:in|of|during|for|from|im jahr|für)\s+((?:19|20)\d\d)\b", re.IGNORECASE)
_LONGEST_VALUE = 60  # characters of a value that a question may name
_SHORTEST_WORD = 3  # letters of a value that may stand in another form, such as the plural
_LEAST_SIMILAR = 0.35  # cosine


@dataclass(frozen=True, slots=True)
class Condition:
    """What rows have to fulfil: an expression over ``df``, and the same for people."""

    column: Column
    code: str
    spoken: str


@dataclass(frozen=True)
class Meant:
    """A question about one table. ``similarities`` are cosines of question and column names, where
    somebody computed them."""

    text: str
    table: Table
    similarities: Mapping[str, float] = field(default_factory=dict)
    newest: str = ""

    @property
    def plot(self) -> Plot | None:
        """The kind of figure, by the newest message if that names one."""
        return plot_of(self.newest) or plot_of(self.text)

    @property
    def measure(self) -> Measure | None:
        """The measure, likewise."""
        return measure_of(self.newest) or measure_of(self.text)

    @cached_property
    def named(self) -> dict[str, Span]:
        """Columns that the question names, by their places in it, in order."""
        found: dict[str, Span] = {}
        exact = {
            c.name: place for c in self.table.columns if (place := mentions(self.text, c.name))
        }
        for column in self.table.columns:
            place = exact.get(column.name) or _alluded(self.text, column, exact.values())
            if place is not None:
                found[column.name] = place
        return dict(sorted(found.items(), key=lambda item: item[1].start))

    @cached_property
    def group(self) -> Column | None:
        """The column behind "by", "per" or "for each"."""
        for match in re.finditer(_BY, self.text, re.IGNORECASE):
            for name, place in self.named.items():
                if match.end() <= place.start <= match.end() + 2:
                    return self.table.column(name)
        return None

    def of_kind(self, kind: Kind, *besides: Column | None) -> list[Column]:
        """Named columns of a kind, in order."""
        found = [self.table.column(name) for name in self.named]
        return [column for column in found if column.kind == kind and column not in besides]

    def number(self, *besides: Column | None) -> Column | None:
        """The column of numbers that is most likely meant."""
        return self._likeliest("number", besides)

    def label(self, *besides: Column | None) -> Column | None:
        """The column of texts that is most likely meant."""
        return self._likeliest("text", besides)

    def time(self) -> Column | None:
        """The column that says when: named, of dates, or of years."""
        dates = [*self.of_kind("date"), *self.table.of_kind("date")]
        years = [column for column in self.table.columns if column.is_year]
        return next(iter([*dates, *years]), None)

    def _likeliest(self, kind: Kind, besides: Sequence[Column | None]) -> Column | None:
        named = self.of_kind(kind, *besides)
        if named:
            # What is grouped by or filtered by is named behind what is meant.
            return named[0]
        left = [column for column in self.table.of_kind(kind) if column not in besides]
        if kind == "number":
            left = [column for column in left if not column.is_year] or left
        if len(left) < 2 or not self.similarities:
            return left[0] if len(left) == 1 else None
        best = max(left, key=lambda column: self.similarities.get(column.name, 0.0))
        return best if self.similarities.get(best.name, 0.0) >= _LEAST_SIMILAR else None

    @cached_property
    def conditions(self) -> list[Condition]:
        """What the rows have to fulfil that are meant."""
        return [*self._values(), *self._comparisons(), *self._years()]

    @property
    def condition_words(self) -> str:
        """The same for people, with a space before it; empty when all rows are meant."""
        spoken = [condition.spoken for condition in self.conditions]
        return f" where {' and '.join(spoken)}" if spoken else ""

    def _values(self) -> list[Condition]:
        found = []
        for column in self.table.of_kind("text"):
            for value in dict.fromkeys(column.values):
                if not 1 < len(value) <= _LONGEST_VALUE or value.lower() in _PLAIN_WORDS:
                    continue
                place = self._place_of(value)
                is_name = place is not None and any(p.meets(place) for p in self.named.values())
                if place is not None and not is_name:
                    code = f"({_item(column)} == {_literal(value)})"
                    found.append(Condition(column, code, f"{column.name} is {value}"))
                    break
        return found

    def _place_of(self, value: str) -> Span | None:
        """Where the question names a value; a single word in any of its forms."""
        is_word = value.isalpha() and len(value) > _SHORTEST_WORD
        return alludes(self.text, value) if is_word else mentions(self.text, value)

    def _comparisons(self) -> list[Condition]:
        found = []
        for sign, form in ((">", _ABOVE), ("<", _BELOW)):
            for match in form.finditer(self.text):
                digits = _DIGITS.match(self.text, match.end())
                column = self._compared(match.end())
                if digits is not None and column is not None:
                    equals = "=" if _INCLUSIVE.search(match.group()) else ""
                    limit = digits.group().replace(",", "")
                    code = f"({_item(column)} {sign}{equals} {limit})"
                    said = f"{column.name} {sign}{equals} {limit}"
                    found.append(Condition(column, code, said))
        return found

    def _compared(self, place: int) -> Column | None:
        """The column of numbers named last before a comparison, or the only one."""
        named = [c for c in self.of_kind("number") if self.named[c.name].start < place]
        left = self.table.of_kind("number")
        return named[-1] if named else left[0] if len(left) == 1 else None

    def _years(self) -> list[Condition]:
        match = _YEAR.search(self.text)
        column = self.time()
        if match is None or column is None:
            return []
        held = any(match[1] in value for value in column.values)
        if not held:
            return []
        year = _item(column) if column.is_year else f"{_item(column)}.dt.year"
        said = f"the year of {column.name} is {match[1]}"
        return [Condition(column, f"({year} == {match[1]})", said)]


_PLAIN_WORDS = frozenset(
    "a an the and or not no yes all any is in on at of to for by per mean max min sum count "
    "total average plot show high low new old true false other us we it be as".split()
)


def _alluded(text: str, column: Column, taken: Collection[Span]) -> Span | None:
    """Where the question speaks of a column without giving its name exactly. ``taken`` are the
    places of other columns' names."""
    spaced = " ".join(name_words(column.name))
    place = alludes(text, spaced) if spaced else None
    if place is not None:
        return place
    said = {stem(m.group().lower()): Span(*m.span()) for m in re.finditer(r"[^\W_]+", text)}
    parts = [word for word in name_words(column.name) if len(word) > 2 or word.isupper()]
    # "price" for unit_price: the last word of a name says what it is.
    for word in reversed(parts):
        root = stem(word.lower())
        # "rainfall" speaks of rain_mm.
        longer = (at for other, at in said.items() if _is_longer(other, root))
        place = said.get(root) or next(longer, None)
        if place is not None and not any(place.meets(span) for span in taken):
            return place
    for line in _SYNONYM_STEMS:
        if any(stem(word.lower()) in line for word in parts):
            for root, place in said.items():
                if root in line and not any(place.meets(span) for span in taken):
                    return place
    return None


def _is_longer(word: str, root: str) -> bool:
    return len(root) > _SHORTEST_WORD and word.startswith(root)


def _item(column: Column) -> str:
    return f"df[{_literal(column.name)}]"


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
