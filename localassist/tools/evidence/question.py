"""One question and all that was found in it, each kind looked for once."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from functools import cached_property

from localassist.tools.evidence import dates, lists, phrases
from localassist.tools.evidence.literals import literals, times
from localassist.tools.evidence.numbers import Number, numbers
from localassist.tools.evidence.spans import SpanSet
from localassist.tools.evidence.words import Span

_BESIDE = 160  # characters
_SMALL = frozenset(["of", "is", "a", "the"])


class Question:
    """``today`` is what "tomorrow" counts from. What stands before ``newest_from`` was said earlier
    in the conversation. However long the text, reading it takes a fraction of a second: of very
    many findings of a kind, those at both ends of the text are kept."""

    def __init__(self, text: str, today: date, newest_from: int = 0) -> None:
        self.text = text
        self.today = today
        self.newest_from = newest_from

    def read(self) -> None:
        """Find everything now."""
        for kind in ("dates", "numbers", "phrases", "brackets", "number_rows", "phrase_rows"):
            getattr(self, kind)

    def at(self, span: Span) -> str:
        return self.text[span.start : span.end]

    def before(self, span: Span) -> str:
        """The text right before a span, as much of it as is of interest."""
        return self.text[max(0, span.start - _BESIDE) : span.start]

    def after(self, span: Span) -> str:
        """The text right behind a span, as much of it as is of interest."""
        return self.text[span.end : span.end + _BESIDE]

    @cached_property
    def dates(self) -> list[dates.DateMention]:
        return [
            mention
            for mention in dates.dates(self.text, self.today)
            if not self._literals.meeting(mention.span)
        ]

    @cached_property
    def numbers(self) -> list[Number]:
        """Those that are not part of a date, a phone number, an address or the like."""
        return [
            replace(number, is_loose=True) if self._times.meeting(number.span) else number
            for number in numbers(self.text)
            if not self._date_spans.meeting(number.span) and not self._literals.meeting(number.span)
        ]

    @cached_property
    def quotations(self) -> list[Span]:
        return phrases.quotations(self.text)

    @cached_property
    def phrases(self) -> list[Span]:
        """Candidates for text values; dates are none."""
        return [span for span in self._stretches if not self._date_spans.meeting(span)]

    @cached_property
    def brackets(self) -> list[lists.Row]:
        return lists.bracketed(self.text)

    @cached_property
    def number_rows(self) -> list[lists.Row]:
        return lists.number_rows(self.text, self.numbers)

    @cached_property
    def phrase_rows(self) -> list[lists.Row]:
        return lists.phrase_rows(self.text, self.quotations, self._stretches)

    def number_records(self, size: int) -> list[tuple[Number, ...]]:
        """The numbers in groups of ``size``, if there are several such groups of one kind: with the
        same units, or each a row of its own. One number before or after them may stand alone."""
        sure = [number for number in self.numbers if not number.is_loose]
        for left in (sure, sure[1:], sure[:-1]):
            if size < 2 or len(left) < 2 * size or len(left) % size:
                continue
            groups = [tuple(left[at : at + size]) for at in range(0, len(left), size)]
            kinds = [[self._kind(number) for number in group] for group in groups]
            rows = {row.items for row in [*self.brackets, *self.number_rows]}
            is_one_row = any(row == tuple(n.span for n in left) for row in rows)
            are_rows = is_one_row or all(tuple(n.span for n in group) in rows for group in groups)
            if are_rows or all(kind == kinds[0] and any(kind) for kind in kinds):
                return groups
        return []

    @cached_property
    def _literals(self) -> SpanSet:
        return SpanSet(literals(self.text))

    @cached_property
    def _date_spans(self) -> SpanSet:
        return SpanSet(mention.span for mention in self.dates)

    @cached_property
    def _times(self) -> SpanSet:
        return SpanSet(times(self.text))

    @cached_property
    def _stretches(self) -> list[Span]:
        """Phrases, dates among them."""
        wholes = SpanSet(self.quotations)
        for more in (self._literals, self._times):
            wholes = SpanSet([*wholes, *(span for span in more if not wholes.meeting(span))])
        return phrases.phrases(self.text, wholes)

    def _kind(self, number: Number) -> tuple[str, str, str]:
        """The currency before, the unit behind, and the word before a number."""
        before = self.before(number.span)
        unit = re.match(r"\s?([A-Za-z%°/]+)", self.after(number.span))
        spoken = re.findall(r"[A-Za-z]+", before[-40:])
        words = [word.lower() for word in spoken if word.lower() not in _SMALL]
        mark = before[-1:] if before[-1:] in "$€£" else ""
        return mark, unit.group(1).lower() if unit is not None else "", "".join(words[-1:])
