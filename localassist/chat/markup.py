"""How a model family writes calls, as data: the texts around a name and its arguments.

Nearly all families write a name, then its arguments as a JSON object, and differ only in the texts
before, between and behind them. Those texts are all that a grammar, a parser and a renderer need.
Knows neither grammars nor templates; ``formats.detect`` reads a markup off a template.
"""

from __future__ import annotations

import string
from dataclasses import dataclass

NAME, ID, INDEX = "\x01", "\x02", "\x03"
"""Slots in the texts of a markup: the function's name, an id that the model makes up, and the
call's number within the turn."""

SLOT_PATTERNS = {ID: "[a-zA-Z0-9]{9}", INDEX: "[0-9]{1,3}"}
SLOT_CHARACTERS = frozenset(string.ascii_letters + string.digits + "_-.")
"""What a slot may hold. The text after a slot begins with something else."""


@dataclass(frozen=True, slots=True)
class CallMarkup:
    """A turn is ``begin`` name ``middle`` arguments, ``joint`` and the next name, …, ``end``.

    ``after_text`` is the beginning of a call that follows text, and ``trigger`` the start of it
    whose appearance in a text means that a call follows. ``after_text`` None: a turn is a call from
    its first character on, or none at all. ``joint`` None: a turn holds one call. ``lead`` may
    stand before the first call, and ``text_begin`` stands before every text.
    """

    begin: str
    middle: str
    end: str = ""
    joint: str | None = None
    after_text: str | None = None
    trigger: str = ""
    lead: str = ""
    text_begin: str = ""

    @property
    def has_ids(self) -> bool:
        """The model writes an id for each of its calls."""
        return any(ID in text for text in (self.begin, self.middle, self.joint or "", self.end))

    @property
    def texts(self) -> tuple[str, ...]:
        """Every text, for those who look for control tokens in them."""
        return (
            self.begin,
            self.middle,
            self.end,
            self.joint or "",
            self.after_text or "",
            self.trigger,
            self.lead,
            self.text_begin,
        )


@dataclass(frozen=True, slots=True)
class Match:
    """How far a pattern goes with a text: ``size`` characters when complete, else None and the text
    may still become one. ``slots`` holds what was found by slot."""

    size: int | None
    slots: dict[str, str]


def match(pattern: str, text: str) -> Match | None:
    """The beginning of ``text`` against a text with slots; None when they differ."""
    at = 0
    slots: dict[str, str] = {}
    for character in pattern:
        if character in (NAME, ID, INDEX):
            start = at
            while at < len(text) and text[at] in SLOT_CHARACTERS:
                at += 1
            if at == len(text):
                return Match(None, slots)
            if at == start:
                return None
            slots[character] = text[start:at]
        elif at == len(text):
            return Match(None, slots)
        elif text[at] != character:
            return None
        else:
            at += 1
    return Match(at, slots)
