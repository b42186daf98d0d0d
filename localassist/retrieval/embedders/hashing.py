"""A public double: vectors from hashed words, without a model. Texts that share words are close."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence


class HashingEmbedder:
    """Deterministic and instant; meant for tests, not for retrieval."""

    def __init__(self, dimensions: int = 64) -> None:
        self._dimensions = dimensions

    @property
    def dimensions(self) -> int:
        return self._dimensions

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return [self._vector(text) for text in texts]

    async def count_tokens(self, texts: Sequence[str]) -> int:
        return sum(len(_words(text)) for text in texts)

    def close(self) -> None:
        """Nothing to free."""

    def _vector(self, text: str) -> list[float]:
        vector = [0.0] * self._dimensions
        for word in _words(text):
            digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
            vector[int.from_bytes(digest, "little") % self._dimensions] += 1.0
        norm = math.sqrt(sum(value * value for value in vector))
        return [value / norm for value in vector] if norm else [1.0] + vector[1:]


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
