"""Chunks that are embedded and searched as they are: what is usual elsewhere, for comparison."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from localassist.evaluation.bm25 import Bm25
from localassist.evaluation.measure import Ranking
from localassist.evaluation.spans import Span
from localassist.evaluation.vectors import Vectors
from localassist.retrieval.fusion import fuse


class ChunkSearch:
    """Every chunk is scored exactly. ``vectors`` are of length 1, ``words`` analysed; either may be
    missing where only the other is asked for."""

    def __init__(
        self, chunks: Sequence[Span], vectors: Vectors, words: Sequence[Sequence[str]]
    ) -> None:
        self._chunks = chunks
        self._vectors = vectors
        self._lexical = Bm25(words)

    def rank(
        self, vector: Vectors, words: Sequence[str], dense: float, lexical: float, limit: int
    ) -> Ranking:
        """By the sum of both z-scores with their weights; chunks of equal score stay in order."""
        scores = np.zeros(len(self._chunks))
        if dense:
            scores += dense * fuse((self._vectors @ vector).astype(np.float64)[:, None])
        if lexical:
            scores += lexical * fuse(self._lexical.scores(words)[:, None])
        order = np.argsort(-scores, kind="stable")[:limit]
        found = [self._chunks[number] for number in order]
        return Ranking(found, found)
