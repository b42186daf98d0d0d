"""Approximate nearest neighbours on disk: one Chroma collection per vector store.

The only module that knows Chroma. Nothing is embedded by Chroma, and nothing is sent anywhere.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localassist.errors import IndexUnavailable
from localassist.offline import switch_off
from localassist.retrieval.indexes.base import Nearest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from localassist.retrieval.embedders.base import Vectors

_COLLECTION = "units"
_BATCH = 1000
# Looked at in a search. At least as many as are asked for, or the last ones are chosen at random.
_EF_SEARCH = 256


class ChromaIndex:
    """Made with ``open``; one client per folder. Ids are ``file_id/unit``."""

    def __init__(self, folder: Path, client: Any, collection: Any) -> None:
        self._folder = folder
        self._client = client
        self._collection = collection

    @classmethod
    def open(cls, folder: Path, dimensions: int) -> ChromaIndex:
        switch_off()
        import chromadb

        folder.mkdir(parents=True, exist_ok=True)
        client: Any = None
        try:
            client = chromadb.PersistentClient(str(folder), settings=_settings())
            hnsw: Any = {"space": "ip", "ef_search": _EF_SEARCH}
            collection = client.get_or_create_collection(
                _COLLECTION,
                embedding_function=None,
                configuration={"hnsw": hnsw},
                metadata={"dimensions": dimensions},
            )
        except Exception as error:  # Chroma raises errors of many libraries
            if client is not None:
                client.close()
            raise _unavailable(folder, error) from error
        return cls(folder, client, collection)

    def add(self, file_id: str, vectors: Vectors) -> None:
        self.remove(file_id)
        for begin in range(0, len(vectors), _BATCH):
            part = vectors[begin : begin + _BATCH]
            units = range(begin, begin + len(part))
            try:
                self._collection.add(
                    ids=[f"{file_id}/{unit}" for unit in units],
                    embeddings=part,
                    metadatas=[{"file": file_id}] * len(part),
                )
            except Exception as error:
                raise _unavailable(self._folder, error) from error

    def remove(self, file_id: str) -> None:
        try:
            self._collection.delete(where={"file": file_id})
        except Exception as error:
            raise _unavailable(self._folder, error) from error

    def nearest(
        self, vector: NDArray[np.float32], limit: int, files: Collection[str] | None = None
    ) -> list[Nearest]:
        where = None if files is None else {"file": {"$in": sorted(files)}}
        try:
            found = self._collection.query(
                query_embeddings=[vector], n_results=limit, where=where, include=[]
            )
        except Exception as error:
            raise _unavailable(self._folder, error) from error
        parts = [id_.rpartition("/") for id_ in found["ids"][0]]
        return [Nearest(file_id, int(unit)) for file_id, _, unit in parts]

    def close(self) -> None:
        self._client.close()


def _settings() -> Any:
    """Chroma's own, with nothing from the environment or a ``.env`` file where the process was
    started: those could name a server to keep vectors on, or one to send traces to."""
    from chromadb.config import Settings

    class Bare(Settings):
        @classmethod
        def settings_customise_sources(cls, *sources: Any, **named: Any) -> tuple[Any, ...]:
            return (named["init_settings"],)

    return Bare(anonymized_telemetry=False)


def _unavailable(folder: Path, error: Exception) -> IndexUnavailable:
    return IndexUnavailable(
        f"The vector index {folder.name} of {folder.parent.name} does not work: {error}. "
        "Rebuild it from the store's segments."
    )
