"""What a parser is given and what it makes: text, and where in the file it stands.

A parser is a function of a path and a ``TextWriter``; it raises UnreadableFile with a sentence
for the person who added the file. It does not know suffixes, limits of the process, or languages.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from localassist.errors import UnreadableFile
from localassist.retrieval.documents import ParsedDocument, Place

# Control characters but tab and newline, lone surrogates (no UTF-8 has them), and noncharacters.
_UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f\u200b\ud800-\udfff\ufeff\ufffe\uffff]")
_LINE_ENDS = re.compile("\r\n?|[\f\v\x85\u2028\u2029]")
_BLANK_LINES = re.compile(r"\n{3,}")
# Names of places are shown; a file may have a heading of a million letters, or as many levels.
_LONGEST_NAME, _LONGEST_PATH, _MOST_LEVELS = 120, 400, 8


class TextWriter:
    """Collects a document's text and places. Offsets are code points of what was kept.

    ``place`` says where what is added from now on stands; places without text are left out.
    """

    def __init__(self, max_characters: int) -> None:
        self.max_characters = max_characters
        self._parts: list[str] = []
        self._length = 0
        self._places: list[Place] = []
        self._open: Place | None = None

    def place(
        self,
        *,
        page: int | None = None,
        slide: int | None = None,
        sheet: str | None = None,
        heading: str | None = None,
    ) -> None:
        self._close_place()
        sheet = sheet and (one_line(sheet)[:_LONGEST_NAME] or None)
        heading = heading and (one_line(heading)[:_LONGEST_PATH] or None)
        self._open = Place(self._length, self._length, page, slide, sheet, heading)

    def add(self, text: str) -> None:
        """Text as it is, but for line ends, which become newlines, and unprintable characters.

        Raises UnreadableFile above the limit.
        """
        text = clean(text)
        self._length += len(text)
        if self._length > self.max_characters:
            raise too_long(self.max_characters)
        self._parts.append(text)

    def line(self, text: str) -> None:
        self.add(f"{text}\n")

    def paragraph(self, text: str) -> None:
        """Text with a blank line after it; nothing where there is no text."""
        if text := text.strip():
            self.add(f"{text}\n\n")

    def document(self) -> ParsedDocument:
        """What was written. Its language is for others to tell."""
        self._close_place()
        text = "".join(self._parts).rstrip()
        kept = (
            Place(p.start, min(p.end, len(text)), p.page, p.slide, p.sheet, p.heading)
            for p in self._places
            if p.start < len(text)
        )
        return ParsedDocument(text, tuple(kept))

    def _close_place(self) -> None:
        if (p := self._open) is not None and p.start < self._length:
            self._places.append(Place(p.start, self._length, p.page, p.slide, p.sheet, p.heading))
        self._open = None


Parser = Callable[[Path, TextWriter], None]


class HeadingPath:
    """The headings above the text as it is read: a deeper one joins, an equal one replaces."""

    def __init__(self) -> None:
        self._open: list[tuple[int, str]] = []

    def enter(self, level: int, title: str) -> str:
        """The path once this heading stands, joined by `` › ``."""
        self._open = [heading for heading in self._open if heading[0] < level]
        self._open.append((level, one_line(title)[:_LONGEST_NAME]))
        return " › ".join(title for _, title in self._open[-_MOST_LEVELS:] if title)


def clean(text: str) -> str:
    return _UNWANTED.sub("", _LINE_ENDS.sub("\n", text))


def one_line(text: str) -> str:
    return " ".join(text.split())


def squeezed(text: str) -> str:
    """Several blank lines as one, and no spaces at the ends of lines."""
    return _BLANK_LINES.sub("\n\n", "\n".join(line.rstrip() for line in text.split("\n")))


def too_long(max_characters: int) -> UnreadableFile:
    return UnreadableFile(
        f"The file holds more than {max_characters:,} characters of text. Split it into smaller "
        "files and add those."
    )
