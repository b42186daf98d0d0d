"""Stretches that are one value, whatever digits and marks they hold: addresses, phone numbers,
versions, paths, and times of day."""

from __future__ import annotations

import re

from localassist.tools.evidence.spans import both_ends
from localassist.tools.evidence.words import Span

_FORMS = (
    # Web and mail addresses.
    r"\b(?:https?|ftp)://[^\s<>\"'`]+|\bwww\.[^\s<>\"'`]+",
    r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
    # UUIDs; bank accounts (IBAN).
    r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b",
    r"\b[A-Z]{2}\d{2}(?:\s?[A-Z0-9]{4}){2,7}(?:\s?[A-Z0-9]{1,3})?\b",
    # Phone numbers: with the country, or of ten digits.
    r"(?<![\w.])\+\d{1,3}(?:[\s.-]?\(?\d{2,4}\)?){2,5}(?!\w)",
    r"(?<![\w.-])(?:\(\d{3}\)\s?|\d{3}[-.])\d{3}[-.]\d{4}(?![\w-])",
    # Versions and IPv4 addresses.
    r"(?<![\w.])v?\d{1,3}(?:\.\d{1,3}){2,3}(?!\w|\.\d)",
    # Paths of Unix and Windows.
    r"(?<![\w/.~])(?:~|\.{1,2})?/[\w.-]+(?:/[\w.-]+)+/?",
    r"\b[A-Za-z]:[\\/][^\s\"'<>|]+",
)
_LITERAL = re.compile("|".join(_FORMS), re.ASCII)
_TIME = re.compile(
    r"(?<![\w:.])(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d)?(?:\s?[ap]\.?m\b)?(?![\w:])",
    re.IGNORECASE | re.ASCII,
)
_MOST = 256


def literals(text: str) -> list[Span]:
    """In the order of the text, without the punctuation of the sentence around them; not all of
    very many. Digits in them are no numbers."""
    found = []
    for match in _LITERAL.finditer(text):
        said = match.group().rstrip(".,;:!?")
        if said.endswith(")") and said.count(")") > said.count("("):
            said = said[:-1]
        found.append(Span(match.start(), match.start() + len(said)))
    return both_ends(found, _MOST)


def times(text: str) -> list[Span]:
    """Times of day with minutes: "6:30 pm". Their digits may be numbers: an hour, a minute."""
    return both_ends([Span(*match.span()) for match in _TIME.finditer(text)], _MOST)
