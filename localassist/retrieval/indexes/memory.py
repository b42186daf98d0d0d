"""An exact scan over vectors held in memory: the double of an approximate index."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from localassist.retrieval.indexes.base import Nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from localassist.retrieval.embedders.base import Vectors


class MemoryIndex:
    """Forgets everything when it is closed."""

    def __init__(self) -> None:
        self._vectors: dict[str, Vectors] = {}

    @classmethod
    def open(cls, folder: Path, dimensions: int) -> MemoryIndex:
        """``folder`` and ``dimensions`` are not needed."""
        return cls()

    def add(self, file_id: str, vectors: Vectors) -> None:
        self._vectors[file_id] = vectors

    def remove(self, file_id: str) -> None:
        self._vectors.pop(file_id, None)

    def nearest(
        self, vector: NDArray[np.float32], limit: int, files: Collection[str] | None = None
    ) -> list[Nearest]:
        found = [
            (-float(cosine), file_id, unit)
            for file_id, vectors in self._vectors.items()
            if files is None or file_id in files
            for unit, cosine in enumerate(vectors @ vector)
        ]
        return [Nearest(file_id, unit) for _, file_id, unit in sorted(found)[:limit]]

    def close(self) -> None:
        self._vectors.clear()
