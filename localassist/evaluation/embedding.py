"""The embedders that variants name: models of the catalog, or any local folder."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

from localassist.errors import ConfigError
from localassist.evaluation.compare import OpenEmbedder
from localassist.registry.catalog import Catalog
from localassist.retrieval.embedders import Embedder, open_embedder
from localassist.settings import Settings

_WEIGHTS = ("*.safetensors", "*.bin", "*.json", "*.txt", "*.model")


def embedders_of(settings: Settings) -> OpenEmbedder:
    """Opens embedders by id or folder; an empty name is the default embedder."""
    catalog = Catalog(settings.home, settings.models)
    backend = settings.retrieval.embedder_backend

    async def open_by_name(name: str) -> tuple[Embedder, str]:
        folder, identity = await asyncio.to_thread(_find, catalog, name)
        embedder = await open_embedder(folder, settings.home / "cache", backend=backend)
        return embedder, f"{identity} {backend}"

    return open_by_name


def _find(catalog: Catalog, name: str) -> tuple[Path, str]:
    """A model's folder, and what its vectors depend on. Raises ConfigError and ModelError."""
    if name and Path(name).expanduser().is_dir():
        folder = Path(name).expanduser()
        return folder, identity_of(folder)
    if "/" in name and catalog.find(name) is None:
        raise ConfigError(f"There is no folder {name} with an embedding model.")
    manifest = catalog.resolve(name, "embedding") if name else catalog.default("embedding")
    return catalog.locate(manifest), f"{manifest.id} {manifest.sha256}"


def identity_of(folder: Path) -> str:
    """A hash of everything in the folder that vectors depend on. Raises ConfigError."""
    digest = hashlib.sha256()
    files = sorted({file for pattern in _WEIGHTS for file in folder.rglob(pattern)})
    if not files:
        raise ConfigError(f"{folder} holds no embedding model.")
    for file in files:
        digest.update(file.relative_to(folder).as_posix().encode())
        with file.open("rb") as opened:
            while block := opened.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
