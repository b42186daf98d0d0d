"""The embedding models of vector stores."""

from __future__ import annotations

import asyncio
from collections import Counter

from localassist.errors import ModelLoadFailed
from localassist.registry.catalog import Catalog
from localassist.registry.manifest import ModelManifest
from localassist.retrieval.embedders import Embedder
from localassist.services.models import LoadEmbedder


class StoreEmbedders:
    """By the ids that stores remember: the name of a model and the beginning of its weights'
    checksum. So vectors of different weights are never mixed."""

    def __init__(self, catalog: Catalog, load: LoadEmbedder) -> None:
        self._catalog = catalog
        self._load = load
        self._known: dict[str, ModelManifest] = {}
        self._opening: Counter[str] = Counter()

    def opening(self) -> list[str]:
        """The names of models that are being loaded, which the first time takes half a minute."""
        return sorted(+self._opening)

    def default_id(self) -> str:
        """Of new stores. Blocks on disk."""
        return default_embedder_id(self._catalog)

    async def get(self, embedder_id: str) -> Embedder:
        """The model, loaded. Raises ModelNotFound, ModelLoadFailed when the name has got other
        weights, and what loading raises."""
        manifest = self._known.get(embedder_id)
        if manifest is None:
            name = embedder_id.partition("@")[0]
            manifest = await asyncio.to_thread(self._catalog.get, name)
            if _embedder_id(manifest) != embedder_id:
                raise ModelLoadFailed(
                    f"The weights of {name} are not those that the vector store was made with; "
                    "put its files into a new vector store."
                )
            self._known[embedder_id] = manifest
        self._opening[manifest.id] += 1
        try:
            return await self._load(manifest)
        finally:
            self._opening[manifest.id] -= 1


def default_embedder_id(catalog: Catalog) -> str:
    """Of stores that are made now. Blocks on disk."""
    return _embedder_id(catalog.default("embedding"))


def _embedder_id(manifest: ModelManifest) -> str:
    return f"{manifest.id}@{manifest.sha256[:12]}"
