from __future__ import annotations

from pathlib import Path

import pytest

from localassist.errors import ModelLoadFailed, ModelNotFound
from localassist.registry.catalog import Catalog
from localassist.registry.manifest import ModelManifest
from localassist.retrieval.embedders import Embedder, HashingEmbedder
from localassist.services.store_embedders import StoreEmbedders


async def test_a_store_never_gets_a_model_with_other_weights(tmp_path: Path) -> None:
    loaded: list[str] = []

    async def load(manifest: ModelManifest) -> Embedder:
        loaded.append(manifest.id)
        return HashingEmbedder()

    embedders = StoreEmbedders(Catalog(tmp_path), load)
    own = embedders.default_id()
    name, _, weights = own.partition("@")
    assert name == "all-minilm-l6-v2" and len(weights) == 12
    await embedders.get(own)
    with pytest.raises(ModelLoadFailed, match="new vector store"):
        await embedders.get(f"{name}@000000000000")
    with pytest.raises(ModelNotFound):
        await embedders.get(f"gone@{weights}")
    assert loaded == [name]
