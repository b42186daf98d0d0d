"""Where sentences begin and end in the text of a file."""

from __future__ import annotations

import re

from localassist.tools.evidence.words import Span

# What ends a sentence, with the marks that close around it and the references of encyclopedias
# behind it, in front of what may begin one. Chinese and Japanese need no space.
_END = re.compile(
    r"(?<![.!?…])[.!?…]+[\"”’'»)\]]*(?:\[[^\[\]\s]{1,12}\]|:\d[\d,–-]*)*(?=\s+[\"“‘'«(\[¿¡]*[^\W_a-zß-öø-ÿ])"
    r"|[。！？]+[」』”’）]*"
)
# Lines that stand alone: items of lists, headings, rows of tables.
_ITEM = re.compile(r"\s*(?:[-*•·▪]|\(?\d{1,3}[.)])\s")
_MARKED_HEADING = re.compile(r"\s{0,3}(?:#{1,6}|={2,6})\s")
_UNDERLINE = re.compile(r"\s{0,3}([=\-~^\"'`#*+:_])\1{2,}\s*$")
_ROW = re.compile(r".*(?:\S \| \S|\t\s*\S)|\s*\|")
# One of several: what a single line says before a colon may as well be prose.
_RECORD = re.compile(r"\s*[^\s:=|.!?][^:=|!?\n]{0,60}(?::| =) \S")
_TITLE_WORDS = 8
_ABBREVIATION = re.compile(
    r"(?:\b(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|Ltd|Co|Corp|Inc|vs|No|Nos|Vol|Fig|Figs|Eq|pp?|ca?|cf|al"
    r"|approx|Gen|Col|Lt|Sgt|Capt|Rev|Hon|Gov|Sen|Rep|Mt|Ft|Dept|Univ|Bros|Ave|Blvd|Sec|Art|Nr|Abs"
    r"|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)|\b(?:[A-Za-z]\.)+[A-Za-z])\.$"
)
_NUMBER = re.compile(r"[\s#*-]*\(?\d{1,3}\.")
_ABBREVIATION_WINDOW = 16  # characters
_LONGEST = 600  # characters; what is longer is cut where a clause ends
_CLAUSE = re.compile(r"[;:,]\s|\s[–—]\s|\n|\s\|\s|\t")


def sentences(text: str) -> list[Span]:
    """The sentences in order, without the white space between them; none is empty. An endless one
    is cut into clauses, and where there are none at white space or anywhere."""
    found: list[Span] = []
    for start, end in _blocks(text):
        begin = start
        for match in _END.finditer(text, start, end):
            if not is_abbreviated(text[begin : match.start() + 1], match.group()):
                found += _shortened(text, begin, match.end())
                begin = match.end()
        found += _shortened(text, begin, end)
    return found


def is_abbreviated(text: str, marks: str = ".") -> bool:
    """The full stop that ``text`` ends with, the first of ``marks``, is that of an abbreviation, of
    an initial, or of the number of an item."""
    if not marks.startswith(".") or len(marks.rstrip("\"”’'»)]")) > 1:
        return False
    if len(text) <= _ABBREVIATION_WINDOW and _NUMBER.fullmatch(text):
        return True
    return _ABBREVIATION.search(text[-_ABBREVIATION_WINDOW:]) is not None


def is_title(text: str, span: Span) -> bool:
    """The stretch is a heading: marked or underlined as one, or a short line of its own right above
    a much longer one."""
    said = text[span.start : span.end]
    if _MARKED_HEADING.match(said) or _UNDERLINE.search(said, said.find("\n") + 1):
        return "\n" not in said.split("\n", 1)[-1]
    end = text.find("\n", span.end + 1)
    following = text[span.end + 1 : end if end > 0 else len(text)]
    is_line = "\n" not in said and text[span.end : span.end + 1] == "\n"
    return is_line and _heads(said, following)


def _blocks(text: str) -> list[tuple[int, int]]:
    """Parted by blank lines, and where a line ends or begins that stands alone."""
    cuts = [0]
    at = 0
    is_first, before = True, ""
    for line in text.split("\n"):
        if line.strip() and before.strip():
            if _parts(before, line, is_first=is_first):
                cuts.append(at)
                is_first = True
            else:
                is_first = False
        elif line.strip():
            cuts.append(at)
            is_first = True
        before = line
        at += len(line) + 1
    cuts.append(len(text))
    return list(zip(cuts, cuts[1:], strict=False))


def _parts(line: str, following: str, *, is_first: bool) -> bool:
    """A sentence cannot go on from this line to the next; ``is_first`` in its block."""
    if _UNDERLINE.match(following):
        return False
    return bool(
        _UNDERLINE.match(line)
        or any(alone.match(following) for alone in (_ITEM, _MARKED_HEADING, _ROW))
        or any(alone.match(line) for alone in (_MARKED_HEADING, _ROW))
        or (_RECORD.match(line) and _RECORD.match(following))
        or (is_first and _heads(line, following))
    )


def _heads(line: str, following: str) -> bool:
    """A short line without a full stop, above one that begins anew and is much longer: wrapped
    lines are of about the same length."""
    said = line.strip()
    return (
        0 < len(said.split()) <= _TITLE_WORDS
        and 2 * len(said) <= len(following)
        and said[-1].isalnum()
        and not _ITEM.match(line)
        and following.lstrip()[:1].isupper()
    )


def _shortened(text: str, start: int, end: int) -> list[Span]:
    """The stretch without white space at its ends, in pieces that are not too long."""
    pieces = []
    while (whole := _trimmed(text, start, end)).end - whole.start > _LONGEST:
        cuts = [
            match.end() for match in _CLAUSE.finditer(text, whole.start, whole.start + _LONGEST)
        ]
        cut = cuts[-1] if cuts else text.rfind(" ", whole.start, whole.start + _LONGEST)
        if cut <= whole.start + 1:
            cut = whole.start + _LONGEST
        pieces.append(_trimmed(text, whole.start, cut))
        start = cut
    return [piece for piece in [*pieces, whole] if piece.end > piece.start]


def _trimmed(text: str, start: int, end: int) -> Span:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return Span(start, end)
