"""One file's parsed, split and embedded content."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Protocol

import numpy as np

from localassist.retrieval.documents import Place

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from localassist.retrieval.embedders.base import Vectors

CONTENT_VERSION = 1
"""Raised when parsers or splitter make something else of the same file."""

NEAR, WIDE = 1, 4
"""Reach of the two windows around a unit, in units to either side."""

_BLOCK = 4096
# About what Python's objects of a segment and of one of its places take.
_OBJECTS_BYTES, _PLACE_BYTES = 4096, 256


def segment_key(sha256: str, filename: str, embedder_id: str) -> str:
    """The key of what a blob becomes under this name, with this embedder: 64 hex digits."""
    facts = (sha256, PurePath(filename).suffix.lower(), CONTENT_VERSION, embedder_id)
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


class TextSource(Protocol):
    """A text of which stretches can be read."""

    def read(self, start: int, end: int) -> str:
        """``text[start:end]``, 0 ≤ start ≤ end."""
        ...

    def __len__(self) -> int:
        """Code points."""
        ...


class Segment:
    """The content of one file.

    ``units`` int32 [n, 3]: start and end in code points, tokens. ``vectors`` float32 [n, d], of
    length 1. ``norms`` float32 [n, 2]: the lengths of the sums of the vectors of the ±1 and of the
    ±4 window, so that a cosine with the window's mean is the sum of its units' cosines over it.
    """

    def __init__(
        self,
        key: str,
        text: str | TextSource,
        places: Sequence[Place],
        language: str,
        embedder_id: str,
        units: NDArray[np.int32],
        vectors: Vectors,
        norms: NDArray[np.float32],
    ) -> None:
        self.key = key
        self.places = tuple(places)
        self.language = language
        self.embedder_id = embedder_id
        self.units = units
        self.vectors = vectors
        self.norms = norms
        self._text = text
        self._place_starts = [place.start for place in self.places]

    def __len__(self) -> int:
        """The number of units."""
        return len(self.units)

    @property
    def held_bytes(self) -> int:
        """What it takes in memory, text not counted; large arrays may be mapped from disk."""
        arrays = self.units.nbytes + self.vectors.nbytes + self.norms.nbytes
        return arrays + _OBJECTS_BYTES + _PLACE_BYTES * len(self.places)

    @property
    def length(self) -> int:
        """Code points of the text."""
        return len(self._text)

    @property
    def text(self) -> str:
        """All of it; read from disk, so take ``slice`` for a part."""
        return self.slice(0, self.length)

    def slice(self, start: int, end: int) -> str:
        """``text[start:end]`` of the file's text. IndexUnavailable when it is gone from disk."""
        start = max(0, start)
        if isinstance(self._text, str):
            return self._text[start:end]
        return self._text.read(start, end)

    def unit_text(self, unit: int) -> str:
        start, end = self.units[unit, :2].tolist()
        return self.slice(start, end)

    def window(self, unit: int, reach: int) -> tuple[int, int]:
        """The units around a unit as ``range(lo, hi)``, ``reach`` to either side where they are."""
        return max(0, unit - reach), min(len(self.units), unit + reach + 1)

    def window_text(self, unit: int, reach: int) -> str:
        lo, hi = self.window(unit, reach)
        return self.slice(int(self.units[lo, 0]), int(self.units[hi - 1, 1]))

    def place_of(self, start: int) -> str:
        """The label of the place that a code point stands in; empty where there is none."""
        at = bisect_right(self._place_starts, start) - 1
        if at < 0 or start >= self.places[at].end:
            return ""
        return self.places[at].label()

    def places_in(self, start: int, end: int) -> tuple[Place, ...]:
        """The places that the stretch touches, in order."""
        first = max(0, bisect_right(self._place_starts, start) - 1)
        last = bisect_left(self._place_starts, end)
        return tuple(place for place in self.places[first:last] if place.end > start)


def window_norms(vectors: Vectors) -> NDArray[np.float32]:
    """``Segment.norms`` of these vectors."""
    n, dimensions = vectors.shape
    norms = np.empty((n, 2), dtype=np.float32)
    for first in range(0, n, _BLOCK):
        lo, last = max(0, first - WIDE), min(n, first + _BLOCK)
        block = vectors[lo : min(n, last + WIDE)]
        sums = np.zeros((len(block) + 1, dimensions))
        np.cumsum(block, axis=0, dtype=np.float64, out=sums[1:])
        at = np.arange(first, last) - lo
        for column, reach in enumerate((NEAR, WIDE)):
            ends = np.minimum(at + reach + 1, len(block))
            starts = np.maximum(at - reach, 0)
            norms[first:last, column] = np.linalg.norm(sums[ends] - sums[starts], axis=1)
    return norms
