"""Units and windows, searched as vector stores are: the same splitter, indexes, fusion and forms of
result, in a store of its own that goes away again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from localassist.evaluation.corpus import Document
from localassist.evaluation.measure import Ranking
from localassist.evaluation.spans import Span
from localassist.evaluation.vectors import CachedEmbedder, Vectors
from localassist.retrieval.assemble import chunks
from localassist.retrieval.fusion import fuse
from localassist.retrieval.passages import ScoreParts, UnitHit
from localassist.retrieval.search import Query, Source, search
from localassist.retrieval.segment_builder import OnProgress, build_segment
from localassist.retrieval.segments import Segment
from localassist.retrieval.store_index import StoreIndex

Keys = npt.NDArray[np.int32]
Parts = npt.NDArray[np.float32]

_EVERY = 1_000_000  # of the hits, so that other weights see the pool that was scored


class UnitSearch:
    """Made with ``build``. Blocks: call ``rank`` in a worker thread."""

    def __init__(self, index: StoreIndex, segments: Mapping[str, Segment]) -> None:
        self._index = index
        self._segments = segments
        self._source = Source(index, segments)
        self._pools: dict[str, _Pool] = {}

    @classmethod
    async def build(
        cls,
        documents: Sequence[Document],
        embedder: CachedEmbedder,
        unit_tokens: int,
        folder: Path,
        on_progress: OnProgress,
    ) -> UnitSearch:
        """Split, embed and index the documents. ``on_progress`` counts documents."""
        index = StoreIndex.open(folder, embedder.dimensions)
        segments = {}
        for done, document in enumerate(documents):
            on_progress(done, len(documents))
            segment = await build_segment(
                hashlib.sha256(document.name.encode()).hexdigest(),
                document.parsed,
                embedder,
                embedder_id="",
                unit_tokens=unit_tokens,
            )
            segments[document.name] = segment
            index.add(document.name, segment)
        index.commit()
        on_progress(len(documents), len(documents))
        return cls(index, segments)

    def rank(
        self,
        question: str,
        vector: Vectors,
        weights: Sequence[float],
        limit: int,
        results: int,
    ) -> Ranking:
        """Units fill budgets; what is returned for k results are the chunks of strategy auto."""
        pool = self._pools.get(question)
        if pool is None:
            hits = search([self._source], [Query(question, vector)], limit=_EVERY)
            pool = self._pools[question] = _Pool.of(hits)
        hits = pool.best(weights, limit, self._segments)
        found = chunks(hits, self._segments, {name: name for name in self._segments}, {}, results)
        return Ranking(
            [Span(hit.file_id, hit.start, hit.end) for hit in hits],
            [Span(passage.file_id, passage.start, passage.end) for passage in found],
        )

    @property
    def units(self) -> int:
        return sum(len(segment) for segment in self._segments.values())

    def close(self) -> None:
        self._index.close()


class _Pool:
    """Every unit that was scored for a question, in the order of the search, without the objects:
    other weights rank it anew."""

    def __init__(self, names: Sequence[str], keys: Keys, parts: Parts) -> None:
        self._names = names
        self._keys = keys
        self._parts = parts

    @classmethod
    def of(cls, hits: Sequence[UnitHit]) -> _Pool:
        numbers: dict[str, int] = {}
        keys = [(numbers.setdefault(hit.file_id, len(numbers)), hit.unit) for hit in hits]
        parts = [[getattr(hit.parts, name) for name in ScoreParts.__slots__] for hit in hits]
        return cls(
            list(numbers),
            np.array(keys, np.int32).reshape(-1, 2),
            np.array(parts, np.float32).reshape(-1, 6),
        )

    def best(
        self, weights: Sequence[float], limit: int, segments: Mapping[str, Segment]
    ) -> list[UnitHit]:
        """By the weighted sum of the z-scores of the six parts; equal weights keep the order."""
        parts = self._parts.astype(np.float64)
        columns = [weight * fuse(parts[:, [i]]) for i, weight in enumerate(weights) if weight]
        fused = np.sum(columns, axis=0) if columns else np.zeros(len(parts))
        order = np.arange(len(parts))
        if len(set(weights)) > 1:
            order = np.argsort(-fused, kind="stable")
        found = []
        for place in order[:limit].tolist():
            number, unit = self._keys[place].tolist()
            name = self._names[number]
            start, end = segments[name].units[unit, :2].tolist()
            scores = ScoreParts(*parts[place].tolist())
            found.append(UnitHit(name, unit, start, end, float(fused[place]), 0.0, scores))
        return found
