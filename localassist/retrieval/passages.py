"""Search results: units that were hit, and the passages that are made of them."""

from __future__ import annotations

from dataclasses import dataclass

from localassist.retrieval.documents import Place


@dataclass(frozen=True, slots=True)
class ScoreParts:
    """The six scores of a unit before they are fused: cosines of its vector and of its windows',
    and BM25 of its text and of its windows'. ``near`` is ±1 unit, ``wide`` ±4."""

    dense: float
    dense_near: float
    dense_wide: float
    lexical: float
    lexical_near: float
    lexical_wide: float


@dataclass(frozen=True, slots=True)
class UnitHit:
    """A unit that was found. ``unit`` is its number within its file, ``start`` and ``end`` its code
    points in the file's text. ``fused`` ranks hits of one search; ``score``, 0 to 1, falls with the
    rank and says how well the best hit fits the question at all."""

    file_id: str
    unit: int
    start: int
    end: int
    fused: float
    score: float
    parts: ScoreParts


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch of a file's text that is returned: ``text`` is ``document.text[start:end]``.

    ``hits`` are the units in it that were found, best first. ``place`` is the label of the best
    unit's place, such as ``page 3``; ``places`` are those of all its text, in order.
    """

    file_id: str
    filename: str
    start: int
    end: int
    text: str
    score: float
    place: str
    tokens: int
    hits: tuple[UnitHit, ...] = ()
    places: tuple[Place, ...] = ()

    def place_of(self, start: int) -> str:
        """The label of the place of the code point ``text[start]``; empty where it is not known."""
        at = self.start + start
        return next((place.label() for place in self.places if place.start <= at < place.end), "")
