"""The users' models folder: their manifests and the defaults they chose.

Writes are atomic. Reads see what any process has changed, at the price of listing the folder.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from localassist.errors import ConfigError, StorageUnavailable
from localassist.registry.manifest import (
    FileSource,
    Kind,
    ModelManifest,
    read_manifest,
    to_toml,
)
from localassist.registry.parts import like, part_paths
from localassist.registry.weights import write_text

_Stamp = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the folder held at one moment."""

    models: Mapping[str, ModelManifest] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    stamp: _Stamp = ()


class ModelsFolder:
    """``<home>/models``: ``<id>.toml`` manifests, ``defaults.json``, and ``files/`` with copies."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._defaults = path / "defaults.json"
        self._last = Snapshot()

    def snapshot(self) -> Snapshot:
        """The folder's content, read again only when a file in it has changed."""
        stamp = self._stamp()
        if stamp != self._last.stamp:
            manifests = [read_manifest(self.path / name) for name, *_ in stamp if _is_toml(name)]
            models = {manifest.id: manifest for manifest in manifests}
            self._last = Snapshot(models, self._read_defaults(), stamp)
        return self._last

    def save(self, manifest: ModelManifest) -> None:
        write_text(self.path / f"{manifest.id}.toml", to_toml(manifest))

    def delete(self, manifest: ModelManifest) -> None:
        """Remove a manifest, and its weights if they are the copy kept here."""
        try:
            (self.path / f"{manifest.id}.toml").unlink(missing_ok=True)
            if (folder := self._own_folder(manifest)) is not None:
                shutil.rmtree(folder)
            for file in self._own_files(manifest):
                file.unlink(missing_ok=True)
        except OSError as error:
            raise StorageUnavailable(f"{self.path} cannot be changed: {error.strerror}.") from error

    def copy_path(self, model_id: str) -> Path:
        """Where the copied weights of a model are kept; the parts of one beside it."""
        return self.path / "files" / f"{model_id}.gguf"

    def _own_folder(self, manifest: ModelManifest) -> Path | None:
        """The folder of an embedding model that is kept here, where it is there."""
        if manifest.kind != "embedding" or not isinstance(manifest.source, FileSource):
            return None
        folder = manifest.source.path.parent
        is_own = folder == self.copy_path(manifest.id).with_suffix("")
        return folder if is_own and folder.is_dir() else None

    def _own_files(self, manifest: ModelManifest) -> tuple[Path, ...]:
        """The weights of a model that are kept here, all parts of them."""
        own = self.copy_path(manifest.id)
        if not isinstance(manifest.source, FileSource):
            return (own,)
        parts = part_paths(manifest.source.path)
        return parts if parts == like(parts[0], own) else (own,)

    def choose_default(self, kind: Kind, model_id: str | None) -> None:
        """Remember the default of a kind; None forgets it."""
        defaults = {**self._read_defaults(), kind: model_id}
        kept = {key: value for key, value in defaults.items() if value is not None}
        write_text(self._defaults, json.dumps(kept, indent=1) + "\n")

    def _stamp(self) -> _Stamp:
        try:
            entries = [
                (entry.name, entry.stat())
                for entry in sorted(self.path.iterdir())
                if _is_toml(entry.name) or entry.name == self._defaults.name
            ]
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise StorageUnavailable(f"{self.path} cannot be read: {error.strerror}.") from error
        return tuple((name, status.st_mtime_ns, status.st_size) for name, status in entries)

    def _read_defaults(self) -> dict[str, str]:
        try:
            defaults = json.loads(self._defaults.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise ConfigError(f"{self._defaults} is damaged; delete it.") from error
        if not isinstance(defaults, dict):
            raise ConfigError(f"{self._defaults} is damaged; delete it.")
        return {str(kind): str(model_id) for kind, model_id in defaults.items()}


def _is_toml(name: str) -> bool:
    return name.endswith(".toml") and not name.startswith(".")
