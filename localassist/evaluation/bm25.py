"""BM25 over texts held in memory: the lexical side of the chunking strategies of others.

Lucene's variant (Kamphuis et al., "Which BM25 do you mean?", 2020), without its constant k1 + 1.
Knows nothing of languages: it takes words that were analysed elsewhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

K1 = 1.2
B = 0.75


class Bm25:
    """``texts`` are the words of each text."""

    def __init__(self, texts: Iterable[Sequence[str]]) -> None:
        postings: dict[str, list[tuple[int, int]]] = {}
        lengths = []
        for number, words in enumerate(texts):
            lengths.append(len(words))
            for word, count in Counter(words).items():
                postings.setdefault(word, []).append((number, count))
        self._count = len(lengths)
        mean = sum(lengths) / max(1, len(lengths)) or 1.0
        self._norms = K1 * (1 - B + B * np.asarray(lengths, np.float64) / mean)
        self._postings = {
            word: np.asarray(found, np.int64).reshape(-1, 2) for word, found in postings.items()
        }

    def scores(self, query: Sequence[str]) -> npt.NDArray[np.float64]:
        """The score of every text; a word that the query repeats counts as often."""
        scores = np.zeros(self._count)
        for word in query:
            found = self._postings.get(word)
            if found is None:
                continue
            texts, counts = found[:, 0], found[:, 1]
            idf = np.log(1 + (self._count - len(texts) + 0.5) / (len(texts) + 0.5))
            scores[texts] += idf * counts / (counts + self._norms[texts])
        return scores
