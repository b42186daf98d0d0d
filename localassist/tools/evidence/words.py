"""Words and their stems: what a text speaks of, and whether it says no to it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from typing import Any, NamedTuple

STOP_WORDS = frozenset(
    "the a an of to in for and or is are be if on with by from default defaults not specified "
    "value values provided optional this that which it as at can used use using number string "
    "boolean whether should include name type list given option set true false".split()
)
_NEGATIONS = frozenset(
    "no not without don't doesn't didn't isn't aren't won't can't never exclude excluding ignore "
    "ignoring skip omit omitting avoid avoiding neither nor".split()
)
_NEGATION_REACH = 4  # words: "do not include the", "without any"
_NEGATION_WINDOW = 160  # characters that hold them
_CLAUSE_BREAK = re.compile(r"[.;!?]|\bbut\b|\bno\.? \d")
_WORD = re.compile(r"[A-Za-z0-9]+")
_HYPHENATED = re.compile(r"[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*")
_LONGEST_WORD = 64  # characters; what is longer is no word of a language
_SHORTEST_ROOT = 4  # letters of an abbreviation
_REMEMBERED_TEXTS = 4  # one question is asked about many values
_QUOTED = re.compile(r"['\"‘“`]([A-Za-z0-9][^'\"’”`]{0,30})['\"’”`]")
_LISTED = re.compile(
    r"(?:\be\.?g\.?,?|\bi\.?e\.?,?|such as|like|options?:?|can be|one of)\s+([^.()]+)"
)
# "San Francisco, CA" is one value where a description asks for a place.
_OF_PLACES = re.compile(r"\b(?:city|town|place|location|address)\b", re.IGNORECASE)
_PLACE = re.compile(r"['\"]?[A-Z][^,]*,\s+[A-Z](?:(?!\b(?:and|or)\b)[^,])*")


class Span(NamedTuple):
    """Characters ``start`` to ``end`` of a text."""

    start: int
    end: int

    def meets(self, other: Span) -> bool:
        return self.start < other.end and other.start < self.end

    def holds(self, other: Span) -> bool:
        return self.start <= other.start and other.end <= self.end


def stem(word: str) -> str:
    """The Snowball stem of a word in small letters; an endless one stays as it is."""
    return word if len(word) > _LONGEST_WORD else _stem(word)


@lru_cache(maxsize=4096)
def _stem(word: str) -> str:
    return str(_stemmer().stemWord(word))


@cache
def _stemmer() -> Any:
    import snowballstemmer

    return snowballstemmer.stemmer("english")


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def name_words(name: str) -> list[str]:
    """The words of an identifier: ``calcStrength`` and ``calc_strength`` have two."""
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    return [word for word in re.split(r"[_\W]+", spaced) if word]


def stems(text: str | Iterable[str]) -> set[str]:
    """Stems of the meaningful words."""
    found = words(text) if isinstance(text, str) else [word.lower() for word in text]
    return {stem(word) for word in found if word not in STOP_WORDS}


def mentions(text: str, value: object) -> Span | None:
    """Where the value stands in the text as whole words, underscores read as spaces."""
    said = str(value).replace("_", " ").split()
    if not said or re.sub(r"[\s-]+", " ", " ".join(said).lower()) not in _spaced(text):
        return None
    phrase = r"[\s-]+".join(map(re.escape, said))
    # A number is no part of another: the 1 of 1.5.
    pattern = rf"(?<!\w)(?<!\d[.,]){phrase}(?!\w|[.,]\d)"
    match = re.search(pattern, text) or re.search(pattern, text, re.IGNORECASE)
    return None if match is None else Span(*match.span())


@lru_cache(maxsize=_REMEMBERED_TEXTS)
def _spaced(text: str) -> str:
    """In small letters, with a single space for hyphens and white space."""
    return re.sub(r"[\s-]+", " ", text.lower())


def alludes(text: str, value: object) -> Span | None:
    """The same, with words that only share their stems: "detailed" for "detail"."""
    exact = mentions(text, value)
    wanted = [stem(word) for word in words(str(value).replace("_", " "))]
    if exact is not None or not any(len(word) > 2 for word in wanted):
        return exact
    said = _stemmed(text)
    for first in said.at.get(wanted[0], ()):
        if said.stems[first : first + len(wanted)] == wanted:
            return Span(said.places[first].start, said.places[first + len(wanted) - 1].end)
    return None


def abbreviates(text: str, value: object) -> Span | None:
    """Where the text has the first four letters of a word or more: carbs for carbohydrates."""
    whole = str(value).lower()
    if not whole.isalpha() or len(whole) > _LONGEST_WORD:
        return None
    said = _stemmed(text)
    roots = (whole[:length] for length in range(_SHORTEST_ROOT, len(whole) + 1))
    first = min((said.at[root][0] for root in roots if root in said.at), default=None)
    return None if first is None else said.places[first]


class _Stemmed(NamedTuple):
    """A text's words: their stems, their places, and at which positions each stem is."""

    stems: list[str]
    places: list[Span]
    at: dict[str, list[int]]


@lru_cache(maxsize=_REMEMBERED_TEXTS)
def _stemmed(text: str) -> _Stemmed:
    found = _Stemmed([], [], {})
    for match in _WORD.finditer(text):
        root = stem(match.group().lower())
        found.at.setdefault(root, []).append(len(found.stems))
        found.stems.append(root)
        found.places.append(Span(*match.span()))
    return found


def quoted(description: str) -> list[str]:
    """Values that a description shows in quotes."""
    return [value.strip() for value in _QUOTED.findall(description)]


def options(schema: Mapping[str, Any]) -> list[str]:
    """Values that a text parameter may take according to its description."""
    description = str(schema.get("description", ""))
    found = quoted(description)
    is_of_places = _OF_PLACES.search(description) is not None
    for listed in _LISTED.findall(description):
        if is_of_places and _PLACE.fullmatch(listed) is not None:
            parts = [listed]
        else:
            parts = re.split(r",|\bor\b|\band\b|/", listed)
        found += [part.strip(" '\"") for part in parts]
    return list(dict.fromkeys(value for value in found if 1 < len(value) <= 30 and value != "etc"))


def is_denied(text: str, at: Span) -> bool:
    """A word of negation stands shortly before the span, in the same clause."""
    near = text[max(0, at.start - _NEGATION_WINDOW) : at.start].lower().replace("’", "'")
    clause = _CLAUSE_BREAK.split(near)[-1]
    said = re.findall(r"[a-z']+", clause)[-_NEGATION_REACH:]
    return any(word in _NEGATIONS for word in said)


def speaks_of(text: str, name: str, schema: Mapping[str, Any]) -> Span | None:
    """Where the text gives a reason to set this optional parameter: its name, or a value of it."""
    for value in schema.get("enum", ()):
        found = alludes(text, value)
        if found is not None:
            return found
    if schema.get("type") == "string":
        for value in options(schema):
            found = alludes(text, value)
            if found is not None:
                return found
    return named_at(text, name)


def named_at(text: str, name: str) -> Span | None:
    """Where at least half of the meaningful words of a parameter's name stand."""
    named = {stem(word.lower()) for word in name_words(name) if word.lower() not in STOP_WORDS}
    first = _first_places(text)
    places = [first[root] for root in named if root in first]
    if not named or len(places) < max(1, (len(named) + 1) // 2):
        return None
    return Span(min(place.start for place in places), max(place.end for place in places))


@lru_cache(maxsize=_REMEMBERED_TEXTS)
def _first_places(text: str) -> dict[str, Span]:
    """Where each stem stands first. A hyphen may join what a name joins: multi-player."""
    places: dict[str, Span] = {}
    for match in _HYPHENATED.finditer(text):
        word = match.group().lower()
        for part in (*word.split("-"), word.replace("-", "")):
            places.setdefault(stem(part), Span(*match.span()))
    return places
