"""How many KV cells a model of the catalog gets, and the memory it takes with them."""

from __future__ import annotations

from localassist.engine.config import EngineSettings
from localassist.engine.footprint import affordable_cells, footprint_bytes
from localassist.registry.gguf import read_header
from localassist.registry.manifest import ModelManifest
from localassist.registry.weights import find_weights


def fitted(
    manifest: ModelManifest, settings: EngineSettings, memory_bytes: int | None
) -> tuple[EngineSettings, int]:
    """The settings with the number of KV cells this model gets, and the bytes it will then take.
    Blocks on disk. Raises ModelFileRejected."""
    header = read_header(find_weights(manifest))
    trained = manifest.context_length or header.context_length
    cells = affordable_cells(header.metadata, settings, trained, memory_bytes, manifest.size_bytes)
    sized = settings.model_copy(update={"context_tokens": cells})
    return sized, footprint_bytes(manifest.size_bytes, header.metadata, settings, cells)
