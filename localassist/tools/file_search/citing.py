"""Citations of a text that a model writes, computed while it is written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from localassist.tools.evidence.words import Span
from localassist.tools.file_search.results import Cited, Result, citation_of
from localassist.tools.file_search.sentences import is_abbreviated
from localassist.tools.file_search.support import Support

# A marker as it should be, with a file name for its last word, in other brackets, or in words. A
# bracket that is not of the first form ends at any closing one.
_MARKER = re.compile(
    r"【 ?(\d{1,4}) ?[:：] ?(\d{1,4}) ?(?:†[^】\n]{0,200})?】"
    r"|[\[(] ?(\d{1,4}) ?[:：] ?(\d{1,4}) ?†[^】\])\n]{0,200}[】\])]"
    r"|[【\[(] ?(?:source|passage) ?#? ?(\d{1,4}) ?[】\])]",
    re.IGNORECASE,
)
# What may become one.
_BEGUN = re.compile(
    r"【 ?\d{1,4} ?[:：] ?\d{1,4} ?†[^】\n]{0,200}$"
    r"|[【\[(] ?(?:\d{0,4}|\d{1,4} ?[:：]? ?\d{0,4} ?(?:†[^】\])\n]{0,200})?"
    r"|s(?:o(?:u(?:r(?:c(?:e ?#? ?\d{0,4} ?)?)?)?)?)?"
    r"|p(?:a(?:s(?:s(?:a(?:g(?:e ?#? ?\d{0,4} ?)?)?)?)?)?)?)$",
    re.IGNORECASE,
)
_EVENT = re.compile(r"[【\[(]|[.!?…]+[\"”’'»)\]]*|[。！？]+[」』”’）]*|\n")
_OPENING = "【[("
_LONGEST_END = 16  # characters; more of them are a line of dots
_UNPARTED = "。！？"  # no space follows
_NO_SPACE_BEFORE = " .,;:!?)]\n"


class CitationReader:
    """Reads an answer as it comes and gives it back with its citations.

    Markers that the model writes are put into the one form; those of no result are left out. A
    sentence without a marker that a passage bears out gets that passage's marker behind it.
    """

    def __init__(self, results: Sequence[Result]) -> None:
        self._results = {_key(result.marker): result for result in results}
        self._support = Support(results)
        self._ahead = ""  # read, not given back yet
        self._sentence = ""  # given back of the sentence that is being read
        self._has_marker = False  # in that sentence
        self._is_over = False  # that sentence, but markers behind it are still its own
        self._space = ""  # white space that what follows may take away
        self._left_out = False  # a marker, right here

    def feed(self, text: str) -> list[Cited]:
        """What can be shown now: text that cannot be part of a marker or the end of a sentence that
        may get one, and whole markers, each a piece of its own."""
        self._ahead += text
        return _joined(self._read(is_end=False))

    def finish(self) -> list[Cited]:
        """The rest, once the answer is over."""
        pieces = [*self._read(is_end=True), *self._end_sentence()]
        if self._space and not self._left_out:
            pieces.append(Cited(self._space))
        self._space = ""
        return _joined(pieces)

    def _read(self, *, is_end: bool) -> Iterator[Cited]:
        while self._ahead:
            event = _EVENT.search(self._ahead)
            start = len(self._ahead) if event is None else event.start()
            if start:
                yield from self._say(self._take(start))
            if event is None:
                return
            if not is_end and self._is_open(event.group()):
                return
            if event.group() in _OPENING:
                yield from self._bracket()
            elif event.group() == "\n":
                yield from self._end_sentence()
                yield from self._say(self._take(1))
            else:
                ends = self._ends_sentence(event.group())
                yield from self._say(self._take(len(event.group())))
                self._is_over = ends

    def _take(self, count: int) -> str:
        taken, self._ahead = self._ahead[:count], self._ahead[count:]
        return taken

    def _is_open(self, event: str) -> bool:
        """More text is needed to tell what this is."""
        if event in _OPENING:
            return _BEGUN.match(self._ahead) is not None
        rest = self._ahead[len(event) :]
        if event == "\n" or rest.lstrip(" ") or len(event) > _LONGEST_END:
            return False
        return event[0] not in _UNPARTED or not rest

    def _bracket(self) -> Iterator[Cited]:
        match = _MARKER.match(self._ahead)
        if match is None:
            yield from self._say(self._take(1))
            return
        self._take(match.end())
        result = self._named(match)
        if result is None:
            self._left_out = True
            return
        quoted = self._support.quote_from(result, self._sentence)
        self._has_marker = True
        yield from self._flush_space()
        yield _marker(result, quoted)

    def _named(self, match: re.Match[str]) -> Result | None:
        turn, at = match[1] or match[3], match[2] or match[4]
        if turn is not None and at is not None:
            return self._results.get((int(turn), int(at)))
        wanted = int(match[5])
        return next((r for (_, number), r in self._results.items() if number == wanted), None)

    def _ends_sentence(self, marks: str) -> bool:
        """These marks end a sentence, by what stands around them."""
        rest = self._ahead[len(marks) :]
        if marks[0] in _UNPARTED or not rest:
            return True
        following = rest.lstrip(" ")
        if not rest[0].isspace() or not following:
            return not following or rest[0] in _OPENING
        if is_abbreviated(self._sentence + self._space + marks[0], marks):
            return False
        return not following[0].islower()

    def _say(self, text: str) -> Iterator[Cited]:
        if self._is_over and text.strip():
            yield from self._end_sentence()
        if self._left_out and text[0] in _NO_SPACE_BEFORE:
            self._space = ""
        self._left_out = False
        whole = self._space + text
        shown = whole.rstrip(" ")
        self._space = whole[len(shown) :]
        if shown:
            self._sentence += shown
            yield Cited(shown)

    def _flush_space(self) -> Iterator[Cited]:
        if self._space and not self._is_over:
            yield Cited(self._space)
        self._space = ""

    def _end_sentence(self) -> Iterator[Cited]:
        """Close the sentence that has been given back, with a marker if it deserves one."""
        said, self._sentence = self._sentence, ""
        has_marker, self._has_marker, self._is_over = self._has_marker, False, False
        if has_marker or not said.strip():
            return
        found = self._support.result_for(said.strip())
        if found is not None:
            yield _marker(*found)


def _key(marker: str) -> tuple[int, int]:
    match = _MARKER.fullmatch(marker)
    assert match is not None, "made by number()"
    return int(match[1]), int(match[2])


def _marker(result: Result, quoted: Span | None) -> Cited:
    return Cited(result.marker, (citation_of(result, quoted),))


def _joined(pieces: Sequence[Cited] | Iterator[Cited]) -> list[Cited]:
    """Neighbouring pieces of plain text as one."""
    joined: list[Cited] = []
    for piece in pieces:
        if joined and not joined[-1].citations and not piece.citations:
            joined[-1] = Cited(joined[-1].text + piece.text)
        else:
            joined.append(piece)
    return joined
