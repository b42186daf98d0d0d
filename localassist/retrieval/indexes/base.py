"""What every index of vectors promises."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from localassist.retrieval.embedders.base import Vectors


class Nearest(NamedTuple):
    """A unit that was found. Its cosine is computed from its segment, not here."""

    file_id: str
    unit: int


class VectorIndex(Protocol):
    """Unit vectors by file. Synchronous: called in a worker thread, one writer, many readers.

    Everything is derived from segments: what a crash leaves half done is done again.
    """

    def add(self, file_id: str, vectors: Vectors) -> None:
        """A file's vectors, float32 [n, d] of length 1, in order of its units; an older version of
        the file is replaced."""
        ...

    def remove(self, file_id: str) -> None:
        """Forget a file; one that is not there is no error."""
        ...

    def nearest(
        self, vector: NDArray[np.float32], limit: int, files: Collection[str] | None = None
    ) -> list[Nearest]:
        """The units with the highest cosine, best first, of ``files`` if given. May be approximate:
        a few of the best may be missing."""
        ...

    def close(self) -> None:
        """Free memory and files."""
        ...


class OpenIndex(Protocol):
    """How an index is opened or created; raises IndexUnavailable."""

    def __call__(self, folder: Path, dimensions: int) -> VectorIndex: ...
