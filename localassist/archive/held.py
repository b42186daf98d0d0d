"""Files of a data folder kept from disappearing while they are copied.

Contents and segments never change; they are only ever deleted, when nothing names them any more. A
second name in a folder of ours keeps the bytes, and costs no room. On a disk without hard links
files are read where they lie.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from localassist.storage.blobs import BlobStore

_DATABASE = "localassist.db"
_SMALL_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class HeldFile:
    """``name`` is the path inside of the data folder, ``path`` where the bytes can be read."""

    name: str
    path: Path
    size_bytes: int


class Held:
    """``folder`` is on the disk of ``home``."""

    def __init__(self, home: Path, folder: Path) -> None:
        self._home = home
        self._folder = folder
        self._blobs = BlobStore(home / "blobs")
        self.files: dict[str, HeldFile] = {}

    def hold_blobs(self, sha256s: Iterable[str]) -> list[str]:
        """Hold contents; those that are not there."""
        missing = []
        for sha256 in sha256s:
            path = self._blobs.path(sha256)
            if not self._hold(path):
                missing.append(sha256)
        return missing

    def hold_segments(self, keys: Iterable[str]) -> int:
        """Hold segments as far as they are whole; how many are not. A segment that is missing is
        made anew from its file."""
        lost = 0
        for key in keys:
            folder = self._home / "segments" / key[:2] / key
            paths = sorted(folder.iterdir()) if folder.is_dir() else []
            held = [path for path in paths if self._hold(path)]
            if not paths or len(held) < len(paths):
                lost += 1
                for path in held:
                    del self.files[self._name(path)]
        return lost

    def hold_others(self, *, with_weights: bool) -> list[str]:
        """Hold everything else but what can be made anew; weights of models that are left out."""
        left_out = []
        for path in sorted(self._others()):
            if path.suffix == ".gguf" and not with_weights:
                left_out.append(self._name(path))
            else:
                self._hold(path, is_mutable=path.stat().st_size < _SMALL_BYTES)
        return left_out

    def _others(self) -> Iterable[Path]:
        skipped = {"blobs", "segments", "stores", "cache", "sandbox"}
        for entry in self._home.iterdir():
            if entry.is_symlink() or entry.name.startswith((".localassist-partial-", _DATABASE)):
                continue
            if entry.is_file():
                yield entry
            elif entry.is_dir() and entry.name not in skipped:
                inside = (path for path in entry.rglob("*") if not path.is_symlink())
                yield from (path for path in inside if path.is_file() and not _is_passing(path))

    def _hold(self, path: Path, *, is_mutable: bool = False) -> bool:
        """Whether the file was there. One that may be written to meanwhile is copied."""
        name = self._name(path)
        if name in self.files:
            return True
        held = self._folder / name
        held.parent.mkdir(parents=True, exist_ok=True)
        try:
            if is_mutable:
                shutil.copyfile(path, held)
            else:
                os.link(path, held)
        except FileNotFoundError:
            return False
        except OSError:
            if is_mutable:
                raise
            if not path.is_file():
                return False
            held = path  # a disk without hard links
        self.files[name] = HeldFile(name, held, held.stat().st_size)
        return True

    def _name(self, path: Path) -> str:
        return path.relative_to(self._home).as_posix()


def _is_passing(path: Path) -> bool:
    """Half-written files, and what remembers paths and times of this very folder."""
    return path.name.startswith(".new-") or path.name == "verified.json"
