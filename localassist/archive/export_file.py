"""The file of an export: a zip archive of JSON lines, with a manifest that sums them.

The format is documented in ``docs/archive_format.md``.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from localassist import __version__, clock
from localassist.archive.reading import CONTENT
from localassist.archive.sources import Part, Source, read_part
from localassist.errors import ConfigError

FORMAT, VERSION = "localassist-export", 1
MANIFEST, CONTENTS = "manifest.json", "contents/"
_CHUNK_BYTES = 1 << 20
_LONGEST_MANIFEST_BYTES = 256 * 2**20


class ExportPart(BaseModel):
    """A file in an export."""

    model_config = ConfigDict(frozen=True)

    bytes: int
    sha256: str


class ExportManifest(BaseModel):
    """``counts`` are objects by kind, ``parts`` all other files by name."""

    model_config = ConfigDict(frozen=True)

    format: Literal["localassist-export"]
    version: int
    localassist: str
    created_at: int
    project: str
    counts: dict[str, int]
    parts: dict[str, ExportPart]


class ExportWriter:
    """Writes one export; ``finish`` ends it. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self._zip = zipfile.ZipFile(path, "x", zipfile.ZIP_DEFLATED, allowZip64=True)
        self._parts: dict[str, ExportPart] = {}
        self.counts: dict[str, int] = {}

    def close(self) -> None:
        """Also without ``finish``; the file is then none."""
        self._zip.close()

    def lines(self, name: str, objects: Iterable[dict[str, Any]]) -> None:
        """A file of JSON lines; none at all when there are no objects."""
        lines = (
            f"{json.dumps(one, ensure_ascii=False)}\n".encode() for one in self._count(objects)
        )
        first = next(lines, None)
        if first is not None:
            self._write(name, (chunk for group in ((first,), lines) for chunk in group))

    def content(self, sha256: str, file: IO[bytes]) -> bool:
        """The content of a file; False when it does not have this SHA-256."""
        name = CONTENTS + sha256
        if name not in self._parts:
            self._write(name, iter(lambda: file.read(_CHUNK_BYTES), b""))
        return self._parts[name].sha256 == sha256

    def finish(self, project: str) -> ExportManifest:
        manifest = ExportManifest(
            format="localassist-export",
            version=VERSION,
            localassist=__version__,
            created_at=clock.now(),
            project=project,
            counts=self.counts,
            parts=self._parts,
        )
        self._zip.writestr(MANIFEST, manifest.model_dump_json(indent=1))
        self._zip.close()
        return manifest

    def _count(self, objects: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
        for one in objects:
            if one["object"] != CONTENT:
                self.counts[one["object"]] = self.counts.get(one["object"], 0) + 1
            yield one

    def _write(self, name: str, chunks: Iterable[bytes]) -> None:
        digest, size = hashlib.sha256(), 0
        with self._zip.open(name, "w", force_zip64=True) as part:
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                part.write(chunk)
        self._parts[name] = ExportPart(bytes=size, sha256=digest.hexdigest())


def checked_manifest(source: Source, parts: list[Part]) -> ExportManifest | None:
    """The manifest of an export of ours, None where there is none. Raises ConfigError when it is of
    a newer release, or a part is missing or damaged; the message names it."""
    part = next((part for part in parts if part.name == MANIFEST), None)
    if part is None or part.size_bytes > _LONGEST_MANIFEST_BYTES:
        return None
    try:
        fields = json.loads(read_part(source, part))
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or fields.get("format") != FORMAT:
        return None
    version = fields.get("version")
    if isinstance(version, int) and version > VERSION:
        raise ConfigError(
            f"It was exported by a newer localassist (format {version}; this release reads "
            f"{VERSION}): upgrade localassist first."
        )
    try:
        manifest = ExportManifest.model_validate(fields)
    except ValidationError as error:
        raise ConfigError(f"{MANIFEST} is damaged: {error.errors()[0]['msg']}.") from error
    found = {part.name: part for part in parts}
    for name, known in manifest.parts.items():
        if name not in found:
            raise ConfigError(f"{name} is missing from the export.")
        digest = hashlib.sha256()
        for chunk in source.chunks(found[name]):
            digest.update(chunk)
        if digest.hexdigest() != known.sha256:
            raise ConfigError(f"{name} is damaged: it does not have its recorded content.")
    return manifest
