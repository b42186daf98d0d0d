"""Places in a text: looked up among many, and thinned out where there are too many."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from localassist.tools.evidence.words import Span

_Item = TypeVar("_Item")


class SpanSet:
    """Spans of which no two meet, found by bisection."""

    def __init__(self, spans: Iterable[Span]) -> None:
        self._spans = sorted(spans)
        self._starts = [span.start for span in self._spans]

    def __iter__(self) -> Iterator[Span]:
        return iter(self._spans)

    def meeting(self, span: Span) -> list[Span]:
        """Those that meet this one, in order."""
        last = bisect_right(self._starts, span.end - 1)
        first = last
        while first > 0 and self._spans[first - 1].meets(span):
            first -= 1
        return self._spans[first:last]


def both_ends(items: Sequence[_Item], most: int) -> list[_Item]:
    """All items, or of more than ``most`` the first and last halves of that: whoever quotes a long
    text asks before it or after it."""
    if len(items) <= most:
        return list(items)
    half = most // 2
    return [*items[:half], *items[-half:]]
