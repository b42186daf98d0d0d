"""How much lies in a folder that somebody else is writing to, perhaps to mislead whoever looks."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

MAX_DEPTH = 64


@dataclass(frozen=True, slots=True)
class FolderUsage:
    """``files`` counts everything that has a name, folders too. ``is_complete``: all of it was
    looked at. Code can close a folder to its owner, whom the host may be; it is opened again."""

    disk_bytes: int = 0
    files: int = 0
    is_complete: bool = True


def folder_usage(folder: Path, max_files: int) -> FolderUsage:
    """What is below ``folder``, up to so many entries and ``MAX_DEPTH`` levels. Follows no links
    and stays on one file system; space counts as allocated, a file with several names once."""
    walk = _Walk(max_files)
    try:
        descriptor = _open(str(folder), None)
    except FileNotFoundError:
        return FolderUsage()
    except OSError:
        return FolderUsage(is_complete=False)
    walk.device = os.fstat(descriptor).st_dev
    walk.enter(descriptor, 0)
    return FolderUsage(walk.disk_bytes, walk.files, walk.is_complete)


class _Walk:
    def __init__(self, max_files: int) -> None:
        self.disk_bytes = 0
        self.files = 0
        self.is_complete = True
        self.device = 0
        self._max_files = max_files
        self._seen: set[int] = set()  # inodes with several names

    def enter(self, descriptor: int, depth: int) -> None:
        """Closes the descriptor."""
        try:
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    self.files += 1
                    if self.files > self._max_files:
                        self.is_complete = False
                        return
                    self._count(descriptor, entry.name, depth)
                    if not self.is_complete:
                        return
        except OSError:
            pass  # taken away by whoever writes there
        finally:
            os.close(descriptor)

    def _count(self, parent: int, name: str, depth: int) -> None:
        try:
            details = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except OSError:
            return
        if details.st_dev != self.device:
            return
        is_folder = stat.S_ISDIR(details.st_mode)
        if details.st_nlink > 1 and not is_folder:
            if details.st_ino in self._seen:
                return
            self._seen.add(details.st_ino)
        self.disk_bytes += details.st_blocks * 512
        if not is_folder:
            return
        if depth == MAX_DEPTH:
            self.is_complete = False
            return
        try:
            descriptor = _open(name, parent)
        except PermissionError:
            self.is_complete = False
            return
        except OSError:
            return  # taken away by whoever writes there
        self.enter(descriptor, depth + 1)


def _open(name: str, parent: int | None) -> int:
    """A folder, also where its owner may not read it: then the owner, or root, is asked for that
    right. Raises OSError."""
    flags = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, os.O_RDONLY | flags, dir_fd=parent)
    except PermissionError:
        unread = os.open(name, os.O_PATH | flags, dir_fd=parent)
    try:
        os.chmod(f"/proc/self/fd/{unread}", 0o700)
        return os.open(f"/proc/self/fd/{unread}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.close(unread)
