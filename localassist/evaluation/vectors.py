"""Vectors by the content of their texts, kept on disk, so that a grid embeds every text once."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from localassist.disk import replacing
from localassist.retrieval.embedders import Embedder

Vectors = npt.NDArray[np.float32]
_STORE_EVERY = 2_048  # new texts, so that a run that is stopped does not begin again


class CachedEmbedder:
    """An embedder that remembers, in one file that may be deleted at any time.

    ``path`` must differ for embedders that differ. The whole file is held in memory: some 1.5 MB a
    thousand texts at 384 dimensions. ``save`` writes what is new; ``close`` does too, and closes
    the embedder.
    """

    def __init__(self, embedder: Embedder, path: Path) -> None:
        self._embedder = embedder
        self._path = path
        self._known = _load(path, embedder.dimensions)
        self._unsaved = 0

    @property
    def dimensions(self) -> int:
        return self._embedder.dimensions

    @property
    def max_tokens(self) -> int:
        return self._embedder.max_tokens

    async def embed(self, texts: Sequence[str]) -> Vectors:
        keys = [_key(text) for text in texts]
        missing = {
            key: text for key, text in zip(keys, texts, strict=True) if key not in self._known
        }
        if missing:
            found = await self._embedder.embed(list(missing.values()))
            self._known.update(zip(missing, np.asarray(found, np.float32), strict=True))
            self._unsaved += len(missing)
            if self._unsaved >= _STORE_EVERY:
                self.save()
        if not keys:
            return np.zeros((0, self.dimensions), np.float32)
        return np.stack([self._known[key] for key in keys])

    async def count_tokens(self, texts: Sequence[str]) -> int:
        return await self._embedder.count_tokens(texts)

    def token_starts(self, text: str) -> npt.NDArray[np.int32]:
        return self._embedder.token_starts(text)

    def save(self) -> None:
        if self._unsaved:
            _store(self._path, self._known)
            self._unsaved = 0

    def close(self) -> None:
        self.save()
        self._embedder.close()


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _load(path: Path, dimensions: int) -> dict[bytes, Vectors]:
    """What is in the file; nothing when it is missing, damaged or of another embedder."""
    try:
        with path.open("rb") as file, np.load(file) as stored:
            keys, vectors = stored["keys"], stored["vectors"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return {}
    if vectors.shape != (len(keys), dimensions) or keys.shape != (len(keys), 32):
        return {}
    return {key.tobytes(): vector for key, vector in zip(keys, vectors, strict=True)}


def _store(path: Path, known: dict[bytes, Vectors]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    keys = np.frombuffer(b"".join(known), np.uint8).reshape(-1, 32)
    with replacing(path) as file:
        np.savez(file, keys=keys, vectors=np.stack(list(known.values())))
