"""A public double: vectors from hashed words, without a model. Texts that share words are close."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from localassist.retrieval.embedders.base import Offsets, Vectors

_TOKEN = re.compile(r"\w+|[^\w\s]")


class HashingEmbedder:
    """Deterministic and instant; meant for tests, not for retrieval. A token is a word or a mark;
    vectors know words only."""

    def __init__(self, dimensions: int = 64, max_tokens: int = 254) -> None:
        self._dimensions = dimensions
        self._max_tokens = max_tokens

    @property
    def dimensions(self) -> int:
        return self._dimensions

    @property
    def max_tokens(self) -> int:
        return self._max_tokens

    async def embed(self, texts: Sequence[str]) -> Vectors:
        import numpy as np

        vectors = np.zeros((len(texts), self._dimensions), dtype=np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for word in re.findall(r"\w+", text.lower()):
                digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
                row[int.from_bytes(digest, "little") % self._dimensions] += 1.0
            if not row.any():
                row[0] = 1.0
            row /= np.linalg.norm(row)
        return vectors

    async def count_tokens(self, texts: Sequence[str]) -> int:
        return sum(len(_TOKEN.findall(text)) for text in texts)

    def token_starts(self, text: str) -> Offsets:
        import numpy as np

        return np.fromiter((token.start() for token in _TOKEN.finditer(text)), dtype=np.int32)

    def close(self) -> None:
        """Nothing to free."""
