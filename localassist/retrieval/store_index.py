"""The search index of one vector store, in a folder of its own: words and, when large, vectors.

Everything in it follows from the segments of the store's files. It may be thrown away and made
anew at any time; adding or removing a file touches only what belongs to the file.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from localassist.disk import replacing
from localassist.errors import IndexUnavailable
from localassist.retrieval.indexes import ChromaIndex, Nearest, OpenIndex, VectorIndex
from localassist.retrieval.lexical import LexicalIndex

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from localassist.retrieval.segment import Segment

COLLECT_FROM_UNITS = 40_000
"""A smaller store is scanned exactly, so that its vectors need no index: no import of Chroma, no
database. Below the limit of the exact scan, so that the index is there when it is needed."""


class StoreIndex:
    """Made with ``open``. Synchronous: called in worker threads; one writer, many readers."""

    def __init__(
        self,
        folder: Path,
        dimensions: int,
        lexical: LexicalIndex,
        *,
        collect_from_units: int,
        open_collection: OpenIndex,
    ) -> None:
        self._folder = folder
        self._dimensions = dimensions
        self.lexical = lexical
        self._collect_from_units = collect_from_units
        self._open_collection = open_collection
        self._opened: VectorIndex | None = None
        self._lock = threading.Lock()
        self._collected = _read_names(self._collected_path)
        self._adding: dict[str, int] = {}

    @classmethod
    def open(
        cls,
        folder: Path,
        dimensions: int,
        *,
        collect_from_units: int = COLLECT_FROM_UNITS,
        open_collection: OpenIndex = ChromaIndex.open,
    ) -> StoreIndex:
        """Open or create. Raises IndexUnavailable when what is there is damaged: ``rebuild`` it."""
        lexical = LexicalIndex.open(folder / "lexical")
        return cls(
            folder,
            dimensions,
            lexical,
            collect_from_units=collect_from_units,
            open_collection=open_collection,
        )

    @classmethod
    def rebuild(
        cls,
        folder: Path,
        dimensions: int,
        members: Mapping[str, Segment],
        *,
        collect_from_units: int = COLLECT_FROM_UNITS,
        open_collection: OpenIndex = ChromaIndex.open,
    ) -> StoreIndex:
        """Throw away what is in ``folder`` and make it anew. The caller has closed the old one."""
        shutil.rmtree(folder, ignore_errors=True)
        index = cls.open(
            folder,
            dimensions,
            collect_from_units=collect_from_units,
            open_collection=open_collection,
        )
        for file_id, segment in members.items():
            index.add(file_id, segment)
        index.commit()
        while index.settle(members):
            pass
        return index

    # --- writing ---------------------------------------------------------------------------------

    def add(self, file_id: str, segment: Segment) -> None:
        """Add a file; searches see it after ``commit``. A version that is there is replaced."""
        self.remove(file_id)
        text = segment.text
        spans = segment.units[:, :2].tolist()
        self.lexical.add(file_id, segment.language, [text[start:end] for start, end in spans])
        self._adding[file_id] = len(segment)
        if self._collects:
            self._collect(file_id, segment)

    def remove(self, file_id: str) -> None:
        """Remove a file; one that is not there is no error."""
        if file_id in self.lexical.units or file_id in self._adding:
            self.lexical.remove(file_id)
            self._adding.pop(file_id, None)
        if file_id in self._collected:
            # First the note, then the vectors: after a crash nobody counts on half a file.
            self._note(self._collected - {file_id})
            self._collection.remove(file_id)

    def commit(self) -> None:
        """Make additions and removals durable and visible."""
        self.lexical.commit()
        self._adding.clear()

    def settle(self, members: Mapping[str, Segment], *, most_units: int = 5000) -> bool:
        """Bring vectors of files that came while the store was small into the vector index, about
        ``most_units`` of them; whether there are more. Until then those files are scanned."""
        if not self._collects:
            return False
        missing = sorted(self.lexical.units.keys() & members.keys() - self._collected)
        done = 0
        for i, file_id in enumerate(missing):
            if done >= most_units:
                return i < len(missing)
            self._collect(file_id, members[file_id])
            done += len(members[file_id])
        return False

    def close(self) -> None:
        """Give up what was not committed, and free memory and files."""
        self.lexical.close()
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    # --- reading ---------------------------------------------------------------------------------

    def file_ids(self) -> set[str]:
        """Files with committed entries."""
        self.lexical.refresh()
        return set(self.lexical.units)

    @property
    def collected(self) -> frozenset[str]:
        """Files whose vectors are in the vector index; those of others are scanned."""
        return self._collected

    def nearest(
        self, vector: NDArray[np.float32], limit: int, files: Collection[str] | None = None
    ) -> list[Nearest]:
        """The units of ``collected`` files nearest to ``vector``, of ``files`` if given."""
        return self._collection.nearest(vector, limit, files) if self._collected else []

    @property
    def _collects(self) -> bool:
        units = {**self.lexical.units, **self._adding}
        return sum(units.values()) > self._collect_from_units

    def _collect(self, file_id: str, segment: Segment) -> None:
        self._collection.add(file_id, segment.vectors)
        self._note(self._collected | {file_id})

    @property
    def _collection(self) -> VectorIndex:
        with self._lock:
            if self._opened is None:
                self._opened = self._open_collection(self._folder / "vectors", self._dimensions)
            return self._opened

    @property
    def _collected_path(self) -> Path:
        return self._folder / "collected.json"

    def _note(self, file_ids: frozenset[str]) -> None:
        with replacing(self._collected_path) as file:
            file.write(json.dumps(sorted(file_ids)).encode())
        self._collected = file_ids


def _read_names(path: Path) -> frozenset[str]:
    try:
        return frozenset(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return frozenset()
    except (OSError, ValueError) as error:
        raise IndexUnavailable(
            f"The list of files in {path.parent.name} cannot be read: {error}. "
            "Rebuild the index from the store's segments."
        ) from error
