"""Stretches of documents, and how much of one set of them lies in another. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Span(NamedTuple):
    """``text[start:end]`` of the document of this name, in code points."""

    document: str
    start: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.start


def merged(spans: Iterable[Span]) -> list[Span]:
    """The same characters, each once: sorted, and joined where spans overlap or touch."""
    found: list[Span] = []
    for span in sorted(spans):
        last = found[-1] if found else None
        if last is not None and last.document == span.document and span.start <= last.end:
            found[-1] = last._replace(end=max(last.end, span.end))
        else:
            found.append(span)
    return found


def total(spans: Iterable[Span]) -> int:
    """Characters of all spans; what two of them share counts twice."""
    return sum(span.size for span in spans)


def shared(these: Sequence[Span], those: Sequence[Span]) -> int:
    """How many characters lie in one of these and in one of those."""
    left, right = merged(these), merged(those)
    i = j = found = 0
    while i < len(left) and j < len(right):
        a, b = left[i], right[j]
        if a.document == b.document:
            found += max(0, min(a.end, b.end) - max(a.start, b.start))
        if (a.document, a.end) < (b.document, b.end):
            i += 1
        else:
            j += 1
    return found
