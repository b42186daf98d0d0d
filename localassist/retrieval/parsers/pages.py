"""Lines on pages into running text: paragraphs joined, hyphenation undone, running headers out.

Pure: knows lines and where they stand, not the format they come from.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

# What PDFium gives for a hyphen at the end of a line, the break after it taken out.
HYPHEN = "\ufffe"
_LIGATURES = str.maketrans(
    {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"}
)
_BROKEN_WORD = re.compile(rf"\b(\w{{1,60}}){HYPHEN}(\w+)")
_WORD = re.compile(r"\w+(?:-\w+)+|\w+")
_ITEM = re.compile(r"(?:[•◦▪‣●○■–—*-]|\(?(?:\d{1,3}|[a-zA-Z])[.)])\s")
_WORDS_OF_CONTENT = re.compile(r"(?!page\b|of\b|seite\b|von\b)\b[^\W\d_]+|…", re.IGNORECASE)
_DIGITS = re.compile(r"\d+")
# Lines at the top and at the bottom of a page that may be running headers and footers.
_EDGE = 2
_REPEATED = 0.6
# In font sizes: a letter's average width, and the widest pitch of lines of one paragraph.
_LETTER = 0.5
_PITCH = 1.6


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a page: ``begins`` and ``ends`` are the heights of its first and last letter's
    baselines, which differ where hyphenated lines are one; ``right`` is where it ends. In points
    from the lower left corner. ``size`` is the height of its font."""

    text: str
    right: float
    begins: float
    ends: float
    size: float


Page = Sequence[Line]
_Key = tuple[int | None, str, int]


def texts_of(pages: Sequence[Page]) -> Iterator[str]:
    """The text of each page, a blank line between paragraphs."""
    words = Counter(word for page in pages for line in page for word in _WORD.findall(line.text))
    for page in without_running_lines(pages):
        text = _flowing(page).translate(_LIGATURES)
        yield _BROKEN_WORD.sub(lambda match: _mended(match[1], match[2], words), text)


def without_running_lines(pages: Sequence[Page]) -> list[Page]:
    """Pages without the lines at their edges that most pages share: the same words at the same
    height, or the same but for the page's number. The first one of its kind stays."""
    seen: Counter[_Key] = Counter()
    for number, page in enumerate(pages):
        seen.update(key for line in _edges(page) for key in _keys(line, number))
    share = _REPEATED * len(pages)
    met: set[_Key] = set()
    result: list[Page] = []
    for number, page in enumerate(pages):
        dropped = set()
        for line in _edges(page):
            common = [key for key in _keys(line, number) if seen[key] >= max(_fewest(key), share)]
            if any(key in met or key[0] is not None for key in common):
                dropped.add(id(line))
            met.update(common)
        result.append([line for line in page if id(line) not in dropped] or page)
    return result


def _edges(page: Page) -> list[Line]:
    return [*page[:_EDGE], *page[max(_EDGE, len(page) - _EDGE) :]]


def _fewest(key: _Key) -> int:
    """On how many pages at least: a few headings with numbers are no running lines yet."""
    return 3 if key[0] is None or not _WORDS_OF_CONTENT.search(key[1]) else 6


def _keys(line: Line, number: int) -> Iterator[_Key]:
    """What running lines have in common: words and height; or, where the first or the last number
    counts with the pages, how far it is ahead of them, the words around it, and the height."""
    height = round(line.ends)
    yield None, line.text, height
    found = list(_DIGITS.finditer(line.text))
    for match in {found[0], found[-1]} if found else ():
        around = f"{line.text[: match.start()]}#{line.text[match.end() :]}"
        ahead = int(match[0][:9]) - number
        yield ahead, around, height
        # Running titles change with the chapter, the number beside them goes on.
        if around.startswith("#") or around.endswith("#"):
            yield ahead, "…", height


def _flowing(page: Page) -> str:
    parts: list[str] = []
    for block in _blocks(_rows(page)):
        right = max(line.right for line in block)
        for line, following in zip(block, [*block[1:], None], strict=True):
            parts.append(line.text.strip())
            if following is None:
                parts.append("\n\n")
            else:
                parts.append("\n" if _ends_on_purpose(line, following, right) else " ")
    return "".join(parts).strip()


def _rows(page: Page) -> Page:
    """Lines that stand beside each other, such as a form's labels and values, as one."""
    rows: list[Line] = []
    for line in page:
        before = rows[-1] if rows else None
        if before is not None and abs(before.ends - line.begins) < 0.3 * line.size:
            text = f"{before.text.rstrip()} {line.text.lstrip()}"
            rows[-1] = Line(text, line.right, before.begins, line.ends, before.size)
        else:
            rows.append(line)
    return rows


def _blocks(page: Page) -> Iterator[list[Line]]:
    """Lines that follow each other at an even distance in one font size."""
    block: list[Line] = []
    pitch = _pitch(page)
    for line in page:
        if block and not _continues(block[-1], line, pitch):
            yield block
            block = []
        block.append(line)
    if block:
        yield block


def _pitch(page: Page) -> float:
    """The usual distance from line to line, in font sizes."""
    found = [
        (above.ends - line.begins) / line.size
        for above, line in zip(page, page[1:], strict=False)
        if line.size > 0 and 0 < above.ends - line.begins < 3 * line.size
    ]
    return median(found) if found else 1.2


def _continues(above: Line, line: Line, pitch: float) -> bool:
    size = max(above.size, line.size)
    if size <= 0 or abs(above.size - line.size) > 0.3 * size:
        return False
    distance = (above.ends - line.begins) / size
    return 0.3 < distance < max(1.25 * pitch, min(_PITCH, 1.4 * pitch))


def _ends_on_purpose(line: Line, following: Line, right: float) -> bool:
    """Whether the next line's first word would still have fitted, or the line begins an item."""
    if _ITEM.match(following.text):
        return True
    first_word = following.text.split(maxsplit=1)[0] if following.text.strip() else ""
    room = right - line.right
    return room > (len(first_word) + 1) * _LETTER * line.size + 0.02 * right


def _mended(first: str, second: str, words: Counter[str]) -> str:
    """A word that was broken at the end of a line. The hyphen stays where the text elsewhere has
    it, and before capitals and digits."""
    joined, hyphenated = f"{first}{second}", f"{first}-{second}"
    if words[joined] or words[hyphenated]:
        return joined if words[joined] >= words[hyphenated] else hyphenated
    return joined if first[-1].isalpha() and second[0].islower() else hyphenated
