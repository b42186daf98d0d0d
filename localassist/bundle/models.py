"""Models that the user has added, on their way into a bundle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from localassist.bundle.files import MODELS
from localassist.errors import BundleError
from localassist.registry import Catalog
from localassist.registry.embedder_files import embedder_files
from localassist.registry.manifest import FileSource, Kind, ModelManifest, ServerSource, to_toml
from localassist.registry.parts import part_paths
from localassist.registry.weights import Progress


@dataclass(frozen=True, slots=True)
class PackedModel:
    """One model: its manifest as the bundle has it, and its files where they lie here, the weights
    first. A split model has several, and an embedding model its tokenizer and configurations."""

    manifest: ModelManifest
    weights: tuple[Path, ...]

    def files(self) -> dict[str, Path]:
        """The files by their paths in the bundle: named after the model, parts of it in order; an
        embedding model's in a folder of its name."""
        if self.manifest.kind == "embedding":
            folder = self.weights[0].parent
            names = [path.relative_to(folder).as_posix() for path in self.weights]
            paths = zip(names, self.weights, strict=True)
            return {f"{MODELS}/{self.manifest.id}/{name}": path for name, path in paths}
        count = len(self.weights)
        ends = [f"-{n:05}-of-{count:05}" for n in range(1, count + 1)] if count > 1 else [""]
        ended = zip(ends, self.weights, strict=True)
        return {f"{MODELS}/{self.manifest.id}{end}{path.suffix}": path for end, path in ended}

    @property
    def manifest_path(self) -> str:
        return f"{MODELS}/{self.manifest.id}.toml"

    def manifest_text(self) -> str:
        """The manifest, with a place that means nothing until the model is installed."""
        elsewhere = FileSource(path=Path("/") / next(iter(self.files())))
        return to_toml(self.manifest.model_copy(update={"source": elsewhere}))


def choose_models(
    catalog: Catalog, names: Sequence[str], progress: Progress | None = None
) -> list[PackedModel]:
    """The named models with verified weights. Those that come with localassist are wheels already
    and are left out. Raises ModelNotFound, ModelFileRejected, or BundleError for a model on a
    server."""
    return list(_choose(catalog, dict.fromkeys(names), progress))


def _choose(
    catalog: Catalog, names: dict[str, None], progress: Progress | None
) -> Iterator[PackedModel]:
    for name in names:
        manifest = catalog.get(name)
        if catalog.is_shipped(manifest.id):
            continue
        if isinstance(manifest.source, ServerSource):
            raise BundleError(
                f"{manifest.id} is computed by another server; there is nothing to pack."
            )
        if not isinstance(manifest.source, FileSource):
            raise BundleError(
                f"The weights of {manifest.id} come with the package {manifest.source.package}, "
                "which is not packed. Add them as a file: localassist models add PATH"
            )
        catalog.locate(manifest, progress)
        weights = _files(manifest.kind, manifest.source.path)
        if missing := next((path for path in weights if not path.is_file()), None):
            raise BundleError(f"A part of {manifest.id} is missing: {missing}")
        yield PackedModel(manifest, weights)


def _files(kind: Kind, weights: Path) -> tuple[Path, ...]:
    return embedder_files(weights) if kind == "embedding" else part_paths(weights)
