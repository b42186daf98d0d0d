"""What lies in a kernel's folder, and what of it is new."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

from localassist.sandbox.beneath import open_folder_beneath

MAX_DEPTH = 16
MAX_PATH_CHARACTERS = 1000

Kind = Literal["file", "link", "hard link", "special"]


@dataclass(frozen=True, slots=True)
class Stamp:
    """What changes when a file changes."""

    kind: Kind
    size_bytes: int
    changed_ns: int
    inode: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything in a folder but folders, caches and hidden files, by path. ``left_out`` are paths
    that are too long, and folders that were not looked into, or not into all of them; ``.`` is the
    folder itself."""

    stamps: Mapping[str, Stamp] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    def changed_since(self, before: Snapshot) -> list[str]:
        """Paths that are new or have changed, the oldest change first."""
        new = [path for path, stamp in self.stamps.items() if before.stamps.get(path) != stamp]
        return sorted(new, key=lambda path: (self.stamps[path].changed_ns, path))

    def gone_since(self, before: Snapshot) -> list[str]:
        return sorted(before.stamps.keys() - self.stamps.keys())


def take_snapshot(folder: int, *, max_entries: int) -> Snapshot:
    """Look at all below an opened folder, without following links. Beyond ``max_entries`` entries,
    16 folders of depth or 1,000 characters of a path nothing is looked at. Raises OSError only when
    the folder itself cannot be read."""
    stamps: dict[str, Stamp] = {}
    left_out: list[str] = []
    folders = [""]
    room = max_entries
    while folders:
        within = folders.pop()
        try:
            entries, looked_at = _entries(folder, within, room)
            if looked_at == room:
                left_out.append(within or ".")
        except OSError:
            if not within:
                raise
            left_out.append(within)  # taken away, swapped for a link, or closed to the host
            continue
        room -= looked_at
        for path, status in entries:
            if len(path) > MAX_PATH_CHARACTERS:
                left_out.append(path)
            elif not stat.S_ISDIR(status.st_mode):
                stamps[path] = stamp_of(status)
            elif room > 0 and path.count("/") + 1 < MAX_DEPTH:
                folders.append(path)
            else:
                left_out.append(path)
    return Snapshot(stamps, tuple(left_out))


def _entries(folder: int, within: str, room: int) -> tuple[list[tuple[str, os.stat_result]], int]:
    """What lies in one folder, by path, and how many entries were looked at for it."""
    found = []
    opened = open_folder_beneath(folder, within)
    try:
        with os.scandir(opened) as listing:
            entries = list(islice(listing, room))
            for entry in entries:
                path = f"{within}/{entry.name}" if within else entry.name
                if not _is_looked_at(entry.name):
                    continue
                with suppress(FileNotFoundError):
                    found.append((path, entry.stat(follow_symlinks=False)))
    finally:
        os.close(opened)
    return found, len(entries)


def _is_looked_at(name: str) -> bool:
    return not name.startswith(".") and name != "__pycache__"


def stamp_of(status: os.stat_result) -> Stamp:
    kind: Kind
    if stat.S_ISREG(status.st_mode):
        kind = "file" if status.st_nlink == 1 else "hard link"
    else:
        kind = "link" if stat.S_ISLNK(status.st_mode) else "special"
    return Stamp(kind, status.st_size, status.st_mtime_ns, status.st_ino)
