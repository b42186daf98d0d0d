"""Search in vector stores: candidates from vectors and words, six scores each, one ranking.

Stores that are searched together are one pool: words count by how rare they are in all of them,
scores are compared across them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from localassist.retrieval import relevance
from localassist.retrieval.candidates import CANDIDATES, Candidates, Source, candidates
from localassist.retrieval.fusion import contenders, fuse
from localassist.retrieval.lexical import FIELDS, pool, query_terms, weigh
from localassist.retrieval.passages import ScoreParts, UnitHit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from localassist.retrieval.segment import Segment

__all__ = ["Query", "Source", "search"]


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked, and its vector: float32 [d], of length 1."""

    text: str
    vector: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Scope:
    """The files of a source that are searched."""

    source: Source
    file_ids: list[str]


def search(
    sources: Sequence[Source],
    queries: Sequence[Query],
    *,
    limit: int,
    allowed: Collection[str] | None = None,
) -> list[UnitHit]:
    """The best units of all sources, best first; of the files ``allowed``, if given.

    With several queries a unit counts by the query it answers best. Raises IndexUnavailable. Ties
    are broken by file id and unit. Blocks: call it in a worker thread.
    """
    for source in sources:
        source.index.lexical.refresh()
    scopes = _scopes(sources, allowed)
    found: dict[tuple[str, int], UnitHit] = {}
    for query in queries:
        for hit in _ask(scopes, query, limit):
            known = found.setdefault((hit.file_id, hit.unit), hit)
            if (hit.score, hit.fused) > (known.score, known.fused):
                found[hit.file_id, hit.unit] = hit
    return sorted(found.values(), key=_order)[:limit]


def _order(hit: UnitHit) -> tuple[float, float, str, int]:
    return (-hit.score, -hit.fused, hit.file_id, hit.unit)


def _scopes(sources: Sequence[Source], allowed: Collection[str] | None) -> list[_Scope]:
    """Every source with the files to search in it; a file in two stores is searched once."""
    left = None if allowed is None else set(allowed)
    seen: set[str] = set()
    scopes = []
    for source in sources:
        file_ids = source.file_ids
        if seen or left is not None:
            file_ids = [
                file_id
                for file_id in file_ids
                if file_id not in seen and (left is None or file_id in left)
            ]
        seen.update(file_ids)
        if file_ids:
            scopes.append(_Scope(source, file_ids))
    return scopes


def _ask(scopes: Sequence[_Scope], query: Query, limit: int) -> list[UnitHit]:
    """The ranking for one query."""
    if not scopes:
        return []
    indexes = [scope.source.index.lexical for scope in scopes]
    terms = [query_terms(query.text, index.languages) for index in indexes]
    every = set().union(*terms)
    statistics = [index.statistics(every) for index in indexes]
    pooled = pool(statistics)
    found: list[Candidates] = []
    for scope, own_terms, own in zip(scopes, terms, statistics, strict=True):
        weights = {field: weigh(own_terms, own, pooled, field) for field in FIELDS}
        found.append(candidates(scope.source, scope.file_ids, query.vector, weights))
    keys = [key for part in found for key in part.keys]
    if not keys:
        return []
    parts = np.concatenate([part.parts for part in found])
    spans = np.concatenate([part.spans for part in found])
    rows = contenders(parts, CANDIDATES)
    fused = dict(zip(rows.tolist(), fuse(parts[rows]).tolist(), strict=True))
    order = sorted(fused, key=lambda row: (-fused[row], keys[row]))[:limit]
    best = [
        (_segment(scopes, keys[row][0]), keys[row][1], parts[row])
        for row in order[: relevance.LOOKED_AT]
    ]
    factor = relevance.of_best(query.text, best, pooled)
    top = fused[order[0]]
    return [
        UnitHit(
            file_id=keys[row][0],
            unit=keys[row][1],
            start=start,
            end=end,
            fused=fused[row],
            score=factor * relevance.share(fused[row], top),
            parts=ScoreParts(*scores),
        )
        for row, (start, end), scores in zip(
            order, spans[order].tolist(), parts[order].tolist(), strict=True
        )
    ]


def _segment(scopes: Sequence[_Scope], file_id: str) -> Segment:
    members = (scope.source.members for scope in scopes)
    return next(each[file_id] for each in members if file_id in each)
