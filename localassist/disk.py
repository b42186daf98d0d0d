"""Files and folders: their room, their hashes, and how they are written whole.

Standard library only: the installer of a bundle runs this before anything is installed. OSErrors
are for the caller, who knows what was meant.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

CHUNK_BYTES = 2**20
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def size(size_bytes: float) -> str:
    """Bytes for people: ``1.2 MB``."""
    for unit in ("B", "kB", "MB"):
        if abs(size_bytes) < 1000:
            return f"{size_bytes:,.0f} {unit}" if unit == "B" else f"{size_bytes:,.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:,.1f} GB"


def existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    return next(folder for folder in (path, *path.absolute().parents) if folder.exists())


def free_bytes(path: Path) -> int:
    """The room on the disk that ``path`` is on, or will be on."""
    return shutil.disk_usage(existing(path)).free


def is_full(error: OSError) -> bool:
    """Whether there was no room left: on the disk, in a quota, or for so large a file."""
    return error.errno in _FULL


def chunks(stream: IO[bytes], size_bytes: int | None = None) -> Iterator[bytes]:
    """What is left in the stream, or its next bytes, piece by piece; fewer where it ends."""
    left = size_bytes
    while left is None or left > 0:
        chunk = stream.read(CHUNK_BYTES if left is None else min(left, CHUNK_BYTES))
        if not chunk:
            return
        yield chunk
        if left is not None:
            left -= len(chunk)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content as hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for chunk in chunks(file):
            digest.update(chunk)
    return digest.hexdigest()


def sync_folder(folder: Path) -> None:
    """Let what was renamed in the folder outlast a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def replacing(target: Path, mode: int = 0o600) -> Iterator[IO[bytes]]:
    """A new file in ``target``'s folder that takes its name once it is complete and on the disk:
    readers see the old or the new content, never half of it."""
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".new-", delete=False) as file:
        try:
            yield file
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
            os.replace(file.name, target)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def copy_whole(source: Path, target: Path) -> None:
    """Copy a file's content so that the target is there whole or not at all."""
    with source.open("rb") as file, replacing(target) as copy:
        shutil.copyfileobj(file, copy, CHUNK_BYTES)
