"""Models of a bundle into a data folder: ``python -m localassist.bundle.placing MODELS HOME``.

The installer runs this with the version that it has installed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from localassist.bundle.files import MODELS
from localassist.errors import LocalAssistError
from localassist.registry.folder import ModelsFolder
from localassist.registry.manifest import FileSource, Kind, read_manifest
from localassist.registry.weights import copy_folder, copy_weights


def place_models(models: Path, home: Path) -> Iterator[str]:
    """Copy each into the data folder; yields what became of it. One that is there stays as it is:
    its sampling or template may have been changed."""
    folder = ModelsFolder(home / "models")
    for path in sorted(models.glob("*.toml")):
        manifest = read_manifest(path)
        assert isinstance(manifest.source, FileSource)
        known = folder.snapshot().models.get(manifest.id)
        if known is not None:
            is_same = known.sha256 == manifest.sha256
            yield f"{manifest.id} is there already" + ("" if is_same else ", with other weights")
            continue
        weights = models / manifest.source.path.relative_to(f"/{MODELS}")
        placed = _place(manifest.kind, weights, folder.copy_path(manifest.id))
        folder.save(manifest.model_copy(update={"source": FileSource(path=placed)}))
        yield f"{manifest.id} was added"


def _place(kind: Kind, weights: Path, target: Path) -> Path:
    """Copy a model's files to ``target``, ``<name>.gguf``; an embedding model's into ``<name>``."""
    if kind == "embedding":
        return copy_folder(weights.parent, target.with_suffix("")) / weights.name
    return copy_weights(weights, target)[0]


def main() -> None:
    models, home = map(Path, sys.argv[1:])
    try:
        for line in place_models(models, home):
            print(line, flush=True)
    except LocalAssistError as error:
        sys.exit(error.message)


if __name__ == "__main__":
    main()
