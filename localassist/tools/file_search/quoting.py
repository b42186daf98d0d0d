"""Quote first: the sentences of the passages that answer a question, with their citations.

A very small model, given the right passage, tells its content wrongly more often than not. The
sentence that shares the question's telling words usually holds the answer, and cannot be wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from localassist.tools.evidence.words import Span
from localassist.tools.file_search.asking import offers, wanted_kind
from localassist.tools.file_search.results import Cited, Result, citation_of, source_of, spoken
from localassist.tools.file_search.sentences import is_title, sentences
from localassist.tools.file_search.terms import Weights, terms

# Log-odds that a sentence holds the answer, fitted with a multinomial logit on the English half of
# XQuAD (1,190 questions over 240 paragraphs), stable between two halves of its articles.
_COVERED = 6.4  # share of the question's weight that the sentence has
_COVERED_BEFORE = 1.1  # share that only the sentence before has
_CARRIED_ON = 1.5  # the same, when a pronoun carries on from there
_FUSED = 0.15  # per unit of the fused score
_DENSE = 4.8  # per unit of the cosine
_OFFERS = {"number": 2.4, "date": 1.8, "person": 2.0, "place": 1.1}
# A second sentence is quoted when it is at most so much less likely.
_NEARLY_AS_GOOD = 2.0
_MOST_WORDS = 90  # of what is quoted for one question; one sentence may be longer
_CONTEXT = 0.5  # the weight of words around the question itself, such as those of an earlier one
# What marks a heading, an item of a list, a quoted line or the row of a table is not said.
_MARKS = re.compile(r"(?:(?:#{1,6}|={1,6}|[-*+•·▪>|])\s+)+(?=\S)")
_ROW_END = re.compile(r"\s+\|\s*$")
_CARRIES_ON = re.compile(
    r"(?:(?:And|But|Yet|However),? )?"
    r"(?:It|He|She|They|This|These|Those|That|His|Her|Its|Their|Such)\b"
)


@dataclass(frozen=True, slots=True)
class QuotedAnswer:
    """An answer made of quotations. ``pieces`` joined are its text; the offsets of citations count
    within their piece."""

    pieces: tuple[Cited, ...]

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces)


@dataclass(frozen=True, slots=True)
class _Sentence:
    """``number`` counts within the passage of ``result``; ``span`` lies in the passage's text."""

    result: Result
    number: int
    span: Span
    terms: frozenset[str]
    is_heading: bool = False
    """What stands under it answers a question, not itself."""

    @property
    def text(self) -> str:
        return self.result.passage.text[self.span.start : self.span.end]


def quote_first(
    question: str, results: Sequence[Result], *, max_sentences: int = 2
) -> QuotedAnswer | None:
    """The best sentences of the passages, quoted word for word with white space as single spaces;
    None when none fits the question. Each line of ``question`` is answered, in order, with at most
    ``max_sentences``."""
    pool = list(_sentences(results))
    weights = Weights([sentence.terms for sentence in pool])
    chosen: list[_Sentence] = []
    for asked in filter(str.strip, question.splitlines()):
        answer = _best(asked, pool, weights, max_sentences)
        chosen += [sentence for sentence in answer if sentence not in chosen]
    return QuotedAnswer(tuple(_pieces(chosen))) if chosen else None


def _sentences(results: Sequence[Result]) -> Iterator[_Sentence]:
    for result in results:
        text = result.passage.text
        for number, span in enumerate(sentences(text)):
            said = _unmarked(text, span)
            words = frozenset(terms(text[said.start : said.end]))
            is_heading = is_title(text, span) or _names_its_place(result, said)
            yield _Sentence(result, number, said, words, is_heading or not words)


def _unmarked(text: str, span: Span) -> Span:
    mark = _MARKS.match(text, span.start, span.end)
    start = mark.end() if mark else span.start
    end = _ROW_END.search(text, start, span.end) if text.startswith("|", span.start) else None
    return Span(start, end.start() if end else span.end)


def _names_its_place(result: Result, span: Span) -> bool:
    """The sentence is the heading of the place where it stands."""
    passage = result.passage
    start = passage.start + span.start
    here = (place for place in passage.places if place.start <= start < place.end)
    heading = next((place.heading for place in here if place.heading), None)
    said = " ".join(passage.text[span.start : span.end].split())
    return heading is not None and heading.rpartition(" › ")[2] == said


def _best(question: str, pool: Sequence[_Sentence], weights: Weights, most: int) -> list[_Sentence]:
    scores = _scores(question, pool, weights)
    quotable = [at for at, sentence in enumerate(pool) if not sentence.is_heading]
    order = sorted(quotable or range(len(pool)), key=lambda at: -scores[at])
    chosen: list[int] = []
    words = 0
    for at in order[:most]:
        words += len(pool[at].text.split())
        is_good = not chosen or scores[order[0]] - scores[at] < _NEARLY_AS_GOOD
        if is_good and (not chosen or words <= _MOST_WORDS):
            chosen.append(at)
    return [pool[at] for at in chosen]


def _scores(question: str, pool: Sequence[_Sentence], weights: Weights) -> list[float]:
    """How likely each sentence holds the answer, as log-odds up to a constant."""
    asked = _asked(question, weights)
    total = sum(asked.values()) or 1.0
    kind = wanted_kind(question)
    scores = []
    before: _Sentence | None = None
    for sentence in pool:
        covered = carried = 0.0
        for term, weight in asked.items():
            if term in sentence.terms:
                covered += weight
            elif before is not None and before.result is sentence.result and term in before.terms:
                carried += weight
        before = sentence
        text = sentence.text
        fused, cosine = _closeness(sentence)
        score = _COVERED * covered / total
        goes_on = _CARRIED_ON if _CARRIES_ON.match(text) else 0.0
        score += (_COVERED_BEFORE + goes_on) * carried / total
        score += _FUSED * fused + _DENSE * cosine
        if kind is not None and offers(text, kind, question):
            score += _OFFERS[kind]
        scores.append(score)
    return scores


def _asked(question: str, weights: Weights) -> dict[str, float]:
    """The terms of a question with their weights, lower for what stands around it."""
    end = max(question.rfind("?"), question.rfind("？")) + 1 or len(question)
    start = sentences(question[:end])[-1].start
    around = terms(question[:start] + " " + question[end:])
    asked = {term: _CONTEXT * weights.of(term) for term in around}
    return asked | {term: weights.of(term) for term in terms(question[start:end])}


def _closeness(sentence: _Sentence) -> tuple[float, float]:
    """The best fused score and cosine of the units that the sentence lies in."""
    passage = sentence.result.passage
    start, end = passage.start + sentence.span.start, passage.start + sentence.span.end
    hits = [hit for hit in passage.hits if hit.start < end and start < hit.end]
    if not hits:
        return 0.0, 0.0
    return max(hit.fused for hit in hits), max(hit.parts.dense for hit in hits)


def _pieces(chosen: Sequence[_Sentence]) -> Iterator[Cited]:
    """The quotations, each behind the name of its source and with its marker."""
    before = ""
    for result, span in _joined(chosen):
        source = source_of(result.passage, span)
        joint = "" if not before else " " if source == before else "\n"
        label = "" if source == before else f"{source}: "
        before = source
        said = result.passage.text[span.start : span.end]
        yield Cited(f"{joint}{label}“{spoken(said)}”")
        yield Cited(result.marker, (citation_of(result, span),))


def _joined(chosen: Sequence[_Sentence]) -> list[tuple[Result, Span]]:
    """Sentences that follow one another in a passage as one stretch, in the order of the best."""
    stretches: list[tuple[Result, Span, range]] = []
    for sentence in chosen:
        for at, (result, span, numbers) in enumerate(stretches):
            if result is sentence.result and sentence.number in (numbers.start - 1, numbers.stop):
                whole = Span(min(span.start, sentence.span.start), max(span.end, sentence.span.end))
                first = min(numbers.start, sentence.number)
                stretches[at] = (result, whole, range(first, first + len(numbers) + 1))
                break
        else:
            own = range(sentence.number, sentence.number + 1)
            stretches.append((sentence.result, sentence.span, own))
    return [(result, span) for result, span, _ in stretches]
