"""A document's text into units: the small, non-overlapping stretches that are embedded and found.

Recursive and sentence-aware: a text that is too long is cut at the coarsest separator it has, and
neighbouring pieces are put together again as far as the limit allows. Work grows in step with the
text, whatever is in it.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from localassist.retrieval.documents import ParsedDocument, Place

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A sentence ends after its mark and closing brackets, not after an initial or an abbreviation.
_ABBREVIATIONS = (
    "Dr Mr Ms St Nr vs Mrs Sra Fig Eq Art Vol Inc Ltd Cf cf bzw Abs Prof Capt Gen Sen Rep Col "
    "Sgt Hon Rev approx resp e.g i.e z.B d.h u.a p.ej"
).split()
_NO_END = r"(?<!\b[^\W\d_]\.)" + "".join(rf"(?<!\b{re.escape(word)}\.)" for word in _ABBREVIATIONS)
_CLOSING = r"[\"')\]}”’»]*"

# From coarse to fine. The cut is at the end of a match; a heading's is before it.
_SEPARATORS = tuple(
    re.compile(pattern)
    for pattern in (
        r"\n(?=\s?=+ |#+ )",
        r"\n[^\S\n]*(?:\n[^\S\n]*)*\n",
        r"\n\s*",
        r"\\n\\n",  # line ends inside JSON strings
        r"\\n",
        rf"(?<=[.!?…؟।]){_NO_END}{_CLOSING}\s+(?=\S)|(?<=[。！？｡])[」』”’）]*",
        r"[;:,]\s|[；：，、]",
        r"\s+",
    )
)

# A text without tokens, or a word that the model takes for one token, must not grow without limit.
_LONGEST_GAP = 32


def split(
    document: ParsedDocument, token_starts: NDArray[np.int32], max_tokens: int = 100
) -> NDArray[np.int32]:
    """Units as rows (start, end, tokens): int32 [n, 3]; start and end are code points.

    In order and disjoint; no unit begins or ends with white space, has more than ``max_tokens``
    tokens or many more than 32 characters for each; every other character is in exactly one unit.
    A unit never reaches over a page, slide or sheet into the next; the text under a heading begins
    a new unit where what came before is too long to be kept with it.
    """
    pieces = _Pieces(document.text, token_starts, max_tokens)
    fences = sorted(_fences(document.places))
    headings = sorted({place.start for place in document.places})
    spans: list[tuple[int, int]] = []
    for start, end in pairwise([0, *fences, len(document.text)]):
        spans.extend(pieces.of(start, end, headings))
    stripped = [span for span in map(pieces.strip, spans) if span[0] < span[1]]
    units = np.array(stripped, dtype=np.int32).reshape(-1, 2)
    counts = np.searchsorted(token_starts, units).astype(np.int32)
    return np.column_stack([units, counts[:, 1] - counts[:, 0]])


class _Pieces:
    """Cuts one text. ``_before[i]`` is the number of tokens that begin before code point ``i``."""

    def __init__(self, text: str, token_starts: NDArray[np.int32], limit: int) -> None:
        self._text = text
        self._starts = _without_gaps(token_starts, len(text))
        counts = np.bincount(self._starts + 1, minlength=len(text) + 1)
        self._before = np.cumsum(counts, dtype=np.int32).data
        self._limit = limit

    def strip(self, span: tuple[int, int]) -> tuple[int, int]:
        start, end = span
        part = self._text[start:end].rstrip()
        return start + len(part) - len(part.lstrip()), start + len(part)

    def of(self, start: int, end: int, headings: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Pieces within the limit that together are ``start:end``."""
        inside = headings[bisect_right(headings, start) : bisect_left(headings, end)]
        return self._joined(start, [*inside, end], 0)

    def _joined(self, start: int, points: list[int], level: int) -> Iterator[tuple[int, int]]:
        """From ``start`` to the last of the points, cut at points as far apart as the limit allows;
        what is too long between two of them is cut by the separators from ``level`` on."""
        counts = [self._before[point] for point in points]
        done = 0
        while done < len(points):
            reach = bisect_right(counts, self._before[start] + self._limit, lo=done)
            if reach > done:
                yield start, points[reach - 1]
            else:
                reach += 1
                yield from self._cut(start, points[done], level)
            start = points[reach - 1]
            done = reach

    def _cut(self, start: int, end: int, level: int) -> Iterator[tuple[int, int]]:
        for finer, separator in enumerate(_SEPARATORS[level:], level + 1):
            cuts = [match.end() for match in separator.finditer(self._text, start, end)]
            inside = [cut for cut in cuts if start < cut < end]
            if inside:
                yield from self._joined(start, [*inside, end], finer)
                return
        while self._before[end] - self._before[start] > self._limit:
            # One character may be many tokens.
            cut = max(start + 1, int(self._starts[self._before[start] + self._limit]))
            yield start, cut
            start = cut
        yield start, end


def _fences(places: Sequence[Place]) -> set[int]:
    """Where a page, slide or sheet begins or ends."""
    fences = set()
    for before, after in pairwise(places):
        if (before.page, before.slide, before.sheet) != (after.page, after.slide, after.sheet):
            fences |= {before.end, after.start}
    return fences


def _without_gaps(starts: NDArray[np.int32], length: int) -> NDArray[np.int32]:
    """The starts, and more of them where for a long stretch there is none."""
    edges = np.concatenate([[-1], starts, [length]])
    gaps = np.diff(edges)
    extra = [
        np.arange(edges[at] + _LONGEST_GAP, edges[at + 1], _LONGEST_GAP)
        for at in np.flatnonzero(gaps > _LONGEST_GAP)
    ]
    return np.sort(np.concatenate([starts, *extra])).astype(np.int32)
