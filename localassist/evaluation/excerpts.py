"""Finds excerpts in a text, whatever its line breaks and spaces are. Pure."""

from __future__ import annotations

import re
from bisect import bisect_right


class SpacelessText:
    """A text without its white space, in which excerpts are looked up.

    Parsers break lines where the file does, and people who copy excerpts out of a viewer get other
    breaks; between the two only the white space differs.
    """

    def __init__(self, text: str) -> None:
        words = list(re.finditer(r"\S+", text))
        self._starts = [word.start() for word in words]  # in the text
        self._places: list[int] = []  # the same without white space
        place = 0
        for word in words:
            self._places.append(place)
            place += word.end() - word.start()
        self._compact = "".join(word.group() for word in words)

    def find(self, excerpt: str) -> tuple[int, int] | None:
        """Start and end of its first occurrence in the text; None when it does not occur, or is
        nothing but white space."""
        wanted = compact(excerpt)
        place = self._compact.find(wanted) if wanted else -1
        if place < 0:
            return None
        return self._offset(place), self._offset(place + len(wanted) - 1) + 1

    def _offset(self, place: int) -> int:
        word = bisect_right(self._places, place) - 1
        return self._starts[word] + place - self._places[word]


def compact(text: str) -> str:
    """The text without its white space."""
    return "".join(text.split())
