"""Which passage bears out a sentence, and with which of its own sentences."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from localassist.tools.evidence.numbers import numbers
from localassist.tools.evidence.words import Span
from localassist.tools.file_search.results import Result, spoken
from localassist.tools.file_search.sentences import sentences
from localassist.tools.file_search.terms import Weights, terms

# Share of a sentence's weight that one or two sentences of a passage must have. Words that no
# passage has weigh most, so what is made up counts against it.
_SUPPORTED = 0.6
_FEWEST_TERMS = 3
_NAME = re.compile(r"(?<!^)(?<![.!?:]\s)\b[A-ZÀ-Þ][\w’'-]{2,}")
_QUOTATION = re.compile(r"“([^“”]+)”[\s.,;:!?]*$")
_ORDINAL = re.compile(r"one|two|first|second|third|single|once|half|double", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Window:
    """One sentence of a passage, or two that follow one another."""

    result: Result
    span: Span
    terms: frozenset[str]

    @property
    def text(self) -> str:
        return self.result.passage.text[self.span.start : self.span.end]


class Support:
    """The sentences of all results, asked about sentences of an answer."""

    def __init__(self, results: Sequence[Result]) -> None:
        self._windows = [window for result in results for window in _windows(result)]
        self._weights = Weights([window.terms for window in self._windows])

    def result_for(self, sentence: str) -> tuple[Result, Span] | None:
        """The result that says what the sentence says, and where its passage does. None for a
        question, for a sentence with hardly any content, and where numbers or names differ."""
        said = frozenset(terms(sentence))
        if len(said) < _FEWEST_TERMS or sentence.rstrip().endswith(("?", "？", ":")):
            return None
        total = sum(self._weights.of(term) for term in said)
        best, most = None, _SUPPORTED * total
        for window in self._windows:
            shared = self._shared(said, window)
            # Two sentences only where one does not do as well.
            if (
                shared >= most
                and (best is None or shared > most)
                and _agrees(sentence, window.text)
            ):
                best, most = window, shared
        return None if best is None else (best.result, best.span)

    def quote_from(self, result: Result, sentence: str) -> Span | None:
        """The words of the result's passage that a marker behind this sentence points to: those it
        quotes, else the sentence most like it; None where none is."""
        quotation = _QUOTATION.search(sentence)
        if quotation is not None:
            span = find(quotation.group(1), result.passage.text)
            if span is not None:
                return span
        said = frozenset(terms(sentence))
        best, most = None, 0.0
        for window in self._windows:
            shared = self._shared(said, window) if window.result is result else 0.0
            if shared > most:
                best, most = window.span, shared
        return best

    def _shared(self, said: frozenset[str], window: _Window) -> float:
        return sum(self._weights.of(term) for term in said & window.terms)


def find(quotation: str, text: str) -> Span | None:
    """Where a quotation stands in the text that it is taken from, white space and quotation marks
    aside."""
    words = [re.escape(word) for word in spoken(quotation).split(" ") if word]
    pattern = r"\s+".join(words).replace('"', '["“”]')
    pattern = pattern.replace(r"\[", "[\\[【]").replace(r"\]", "[\\]】]")
    match = re.search(pattern, text) if words else None
    return None if match is None else Span(*match.span())


def _windows(result: Result) -> list[_Window]:
    text = result.passage.text
    single = [
        _Window(result, span, frozenset(terms(text[span.start : span.end])))
        for span in sentences(text)
    ]
    pairs = [
        _Window(result, Span(a.span.start, b.span.end), a.terms | b.terms)
        for a, b in zip(single, single[1:], strict=False)
    ]
    return [*single, *pairs]


def _agrees(sentence: str, source: str) -> bool:
    """Every number of the sentence and every name in it is in the source too."""
    known = {reading for number in numbers(source) for reading in number.readings}
    for number in numbers(sentence):
        said = sentence[number.span.start : number.span.end]
        if not _ORDINAL.fullmatch(said) and known.isdisjoint(number.readings):
            return False
    low = source.lower()
    return all(name.lower().removesuffix("'s") in low for name in _NAME.findall(sentence))
