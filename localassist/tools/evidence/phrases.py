"""Stretches of a text that could be a value: what is quoted, and phrases that hang together.

A phrase neither begins nor ends with a small word, and does not run across the words that join one
part of a sentence to the next. The model chooses among them; none of this understands the text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from localassist.tools.evidence.spans import SpanSet, both_ends
from localassist.tools.evidence.words import Span

# They stand between phrases, hardly ever inside one.
_JOINTS = frozenset(
    "to from in at by for with on between during near over under than that which who whom whose "
    "where when while if then after before as into onto via using about around through is are was "
    "were be been being has have had does do did will would can could should may might must or "
    "without within per until since because also starting given assuming including "
    "excluding".split()
)
# They stand inside a phrase, but do not begin or end it.
_INNER = frozenset("the a an of & de la my your his her their our this these those its".split())
# They are about the asking, not about what is asked for.
_ASKING = frozenset(
    "i me you he she it we they us them what what's how how's why who who's please want need like "
    "get give tell show find fetch search look book calculate compute determine provide retrieve "
    "convert analyze estimate predict create make let let's could can would help there here not no "
    "don't some any much many more most all each both respectively specifically just know check "
    "play set add send write translate list generate".split()
)
# They begin a sentence that asks for something, and may be anything elsewhere.
_IMPERATIVES = frozenset(
    "add arrange assign buy call cancel change choose classify close compare compose copy count "
    "delete describe detect divide download draft draw email enter evaluate explain extract filter "
    "forecast format group identify invite join locate log measure merge message monitor move "
    "multiply notify open order organize pay pick plan print purchase rank rate read recommend "
    "record register remind remove rename reserve review run save schedule select sell simulate "
    "solve sort split start stop store submit subscribe subtract suggest summarize switch text "
    "track transfer turn update upload use validate verify".split()
)
_EDGES = _JOINTS | _INNER | _ASKING | {"and"}
# With a capital letter they only begin a sentence.
_COMMON = _JOINTS | _ASKING
_ABBREVIATIONS = frozenset(
    "inc. mr. mrs. ms. dr. st. jr. sr. ltd. co. u.s. corp. vs. no. d.c. l.a. u.k. e.g. i.e.".split()
)
_MOST_WORDS = 7
# Where a text may go over to another request.
_CLAUSE_ENDS = re.compile(
    r"(?<=[.?!;])\s|,?(?<!\s)\s{1,9}(?:and|then|also|plus)\s(?=\s{0,9}(?:[a-z']{1,40}\s){2})|;",
    re.IGNORECASE,
)
_LEAST_CLAUSE = 3  # words
_LONGEST_PHRASE = 300  # characters
_MOST_PHRASES = 512
_MOST_QUOTATIONS = 128
# A comma ends a word before white space and between letters: "red,green" are two.
_TOKEN = re.compile(r"(?:[^\s,]|,(?![^\W\d])|(?<=\d),)+,?|,")
_OPENING, _CLOSING = "([{'\"‘“`*「『《", ".,;:!?)]}'\"’”`*。，！？；：、」』》"
_COMMAS = frozenset(",，、")
_BREAKS = frozenset(".;:!?)]。！？；：")
# No class of characters holds its own opening mark: an unpaired one is not looked after for long.
_QUOTES = re.compile(
    r"\"([^\"]+)\"|“([^“”]+)”|‘([^‘’]+)’|`([^`]+)`"
    r"|(?<!\w)'((?:[^']|(?<=\w)'(?=\w))+)'(?!\w)"
)
_MOSTLY = 0.8  # of a text


@dataclass(frozen=True, slots=True)
class Word:
    """``span`` leaves out punctuation at both ends. The text makes a break behind a word that
    ``closes`` and before one that ``opens``. ``is_whole``: a quotation or a literal, not a word."""

    span: Span
    text: str
    closes: bool
    comma: bool
    opens: bool
    is_whole: bool = False


def quotations(text: str) -> list[Span]:
    """What stands between quotation marks, without them, not all of very many. Marks around the
    whole text are none."""
    found = []
    for match in _QUOTES.finditer(text):
        inside = Span(*match.span(match.lastindex or 0))
        is_all = match.end() - match.start() > _MOSTLY * len(text)
        if text[inside.start : inside.end].strip() and not is_all:
            found.append(inside)
    return both_ends(found, _MOST_QUOTATIONS)


def split(text: str) -> list[Word]:
    """The words of a text."""
    found = (_word(match.group(), match.start()) for match in _TOKEN.finditer(text))
    return [word for word in found if word is not None]


def _word(raw: str, shift: int) -> Word | None:
    """The word in a stretch without white space; None when there is only punctuation."""
    start = len(raw) - len(raw.lstrip(_OPENING))
    end = max(start, len(raw.rstrip(_CLOSING)))
    tail = raw[end:]
    if raw.lower().rstrip(",") in _ABBREVIATIONS and tail.startswith("."):
        end, tail = end + 1, tail[1:]
    if raw.endswith(("'s", "’s"), start, end) and end - start > 2:
        end, tail = end - 2, "'s" + tail
    if end <= start:
        return None
    closes = not _BREAKS.isdisjoint(tail)
    span = Span(shift + start, shift + end)
    return Word(span, raw[start:end], closes, not _COMMAS.isdisjoint(tail), raw[0] in "([{")


def phrases(text: str, wholes: SpanSet | None = None) -> list[Span]:
    """Candidate values in the order of the text, shorter ones first where they begin together; of
    very many those at both ends of the text. Each of ``wholes`` counts as one word."""
    units = _Units(_joined(text, wholes) if wholes is not None else split(text))
    found: list[Span] = []
    first, half = 0, _MOST_PHRASES // 2
    while first < len(units) and len(found) < half:
        found += units.phrases_from(first)
        first += 1
    behind: list[list[Span]] = []
    last, count = len(units), 0
    while last > first and count < half:
        last -= 1
        behind.append(units.phrases_from(last))
        count += len(behind[-1])
    found += [span for spans in reversed(behind) for span in spans]
    return [span for span in found if span.end - span.start <= _LONGEST_PHRASE]


def clauses(text: str) -> list[str]:
    """The parts of a text that may ask for different things; quotations stay whole."""
    quotes = SpanSet(quotations(text))
    parts, start = [], 0
    for match in _CLAUSE_ENDS.finditer(text):
        if not quotes.meeting(Span(*match.span())):
            parts.append(text[start : match.start()])
            start = match.end()
    parts.append(text[start:])
    return [part.strip() for part in parts if len(part.split()) >= _LEAST_CLAUSE]


def is_name(text: str) -> bool:
    """Every word that matters begins with a capital letter or a digit."""
    parts = [part for part in text.split() if part.lower() not in _INNER]
    return bool(parts) and all(part[0].isupper() or part[0].isdigit() for part in parts)


def _joined(text: str, wholes: SpanSet) -> list[Word]:
    """Words, those of each whole joined into one."""
    units: list[Word] = []
    for word in split(text):
        inside = wholes.meeting(word.span)
        if not inside:
            units.append(word)
        for whole in inside:
            if units and units[-1].span == whole:
                units.pop()
            said = text[whole.start : whole.end]
            units.append(Word(whole, said, word.closes, word.comma, opens=False, is_whole=True))
    return units


class _Units:
    """The words of a text, and for each what decides where phrases begin and end."""

    def __init__(self, words: Sequence[Word]) -> None:
        self._words = words
        self._plain = [word.text.lower() for word in words]
        self._is_capital = [self._has_capital(at) for at in range(len(words))]
        self._is_edge = [self._bounds(at) for at in range(len(words))]
        # What may stand beside a capital letter in one name: small words and figures.
        self._suits_name = [
            capital or plain in _INNER or plain == "and" or plain[:1].isdigit()
            for capital, plain in zip(self._is_capital, self._plain, strict=True)
        ]
        self._continues_name = [self._is_one_name(at) for at in range(len(words))]

    def __len__(self) -> int:
        return len(self._words)

    def phrases_from(self, first: int) -> list[Span]:
        """The phrases that begin with this word, the shortest first."""
        if self._is_edge[first] or (first > 0 and self._continues_name[first - 1]):
            return []
        found = []
        has_capital, suits_name = False, True
        for last in range(first, min(first + _MOST_WORDS, len(self))):
            word = self._words[last]
            if last > first and self._parts(last):
                break
            has_capital |= self._is_capital[last]
            suits_name &= self._suits_name[last]
            # A plain word beside a name is none of it: "artists Taylor Swift".
            is_mixed = has_capital and not suits_name
            if not self._is_edge[last] and not self._continues_name[last] and not is_mixed:
                found.append(Span(self._words[first].span.start, word.span.end))
            if word.is_whole or word.closes or (word.comma and not self._goes_on(last)):
                break
        return found

    def _parts(self, at: int) -> bool:
        """A phrase ends before this word."""
        word, plain = self._words[at], self._plain[at]
        if word.opens or word.is_whole or plain in _JOINTS:
            return True
        return plain == "and" and not self._joins_names(at)

    def _bounds(self, at: int) -> bool:
        """No phrase begins or ends with this word."""
        plain = self._plain[at]
        if self._words[at].is_whole:
            return False
        if plain in _EDGES or re.search(r"\w", plain) is None:
            return True
        begins = at == 0 or (self._begins_sentence(at) and self._begins_large(at))
        return begins and plain in _IMPERATIVES and at + 1 < len(self)

    def _has_capital(self, at: int) -> bool:
        """A capital letter that is not just that of a sentence's first word."""
        word = self._words[at]
        if word.is_whole or not word.text[:1].isupper() or self._plain[at] in _COMMON:
            return False
        if not self._begins_sentence(at) or word.text[1:2].isupper():
            return True
        return self._plain[at] not in _IMPERATIVES and self._begins_large(at + 1)

    def _begins_sentence(self, at: int) -> bool:
        return at == 0 or (self._words[at - 1].closes and not self._words[at].opens)

    def _is_one_name(self, at: int) -> bool:
        """This word and the next belong to the same name: "York City" is no phrase of New York
        City."""
        if at + 1 >= len(self):
            return False
        here, after = self._words[at], self._words[at + 1]
        if here.closes or here.comma or here.is_whole or after.opens or after.is_whole:
            return False
        is_figure = after.text[:1].isdigit() and "." not in after.text
        return self._is_capital[at] and (self._is_capital[at + 1] or is_figure)

    def _joins_names(self, at: int) -> bool:
        """Johnson and Johnson."""
        return self._begins_large(at - 1) and self._begins_large(at + 1)

    def _goes_on(self, at: int) -> bool:
        """A comma inside a name: "Berlin, Germany"."""
        return self._begins_large(at) and self._begins_large(at + 1)

    def _begins_large(self, at: int) -> bool:
        return 0 <= at < len(self) and self._words[at].text[:1].isupper()
