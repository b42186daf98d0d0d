"""``/vector_stores/{id}/search/explain``: what a search is made of. The hosted API has no such
endpoint."""

from __future__ import annotations

from typing import Any, Literal

from localassist.schemas.base import WireModel


class Span(WireModel):
    """From ``start`` up to ``end``, in code points."""

    start: int
    end: int


class SearchScores(WireModel):
    """The six scores of a unit before they are fused: cosines (``dense``) and BM25 (``lexical``),
    of the unit itself, of it with a neighbour to either side (``near``), with four (``wide``)."""

    dense: float
    dense_near: float
    dense_wide: float
    lexical: float
    lexical_near: float
    lexical_wide: float


class SearchHit(WireModel):
    """A unit that was found. ``unit`` is its number in the file; ``span``, ``near`` and ``wide``
    are its and its windows' places in the file's content, ``highlights`` places in ``text``."""

    file_id: str
    filename: str
    attributes: dict[str, Any]
    unit: int
    place: str
    text: str
    span: Span
    near: Span
    wide: Span
    highlights: list[Span]
    score: float
    fused: float
    scores: SearchScores


class SearchExplanation(WireModel):
    """Best first."""

    object: Literal["vector_store.search.explanation"] = "vector_store.search.explanation"
    search_query: list[str]
    data: list[SearchHit]
