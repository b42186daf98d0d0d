"""Folders in which something is made before it takes its place.

Whatever ends the work, its folder goes: at the end, or, when the process was killed, the next time
somebody works in the same place.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from localassist.disk import free_bytes, is_full, size
from localassist.errors import StorageUnavailable
from localassist.storage.process_lock import ProcessLock

PREFIX = ".localassist-partial-"
_LOCK = "lock"
_YOUNG_SECONDS = 60.0


@contextmanager
def workspace(parent: Path) -> Iterator[Path]:
    """A new folder in ``parent``, which is made where it is missing. Raises StorageUnavailable,
    also for an OSError of the work inside: the disk is full, a folder cannot be written."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        sweep(parent)
        folder = parent / f"{PREFIX}{secrets.token_hex(6)}"
        folder.mkdir(mode=0o700)
        lock = ProcessLock(folder / _LOCK)
        lock.acquire()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            lock.release()
    except OSError as error:
        raise StorageUnavailable(f"{said(error, parent)}.") from error


def sweep(parent: Path) -> None:
    """Remove the folders of processes that are gone."""
    for left in parent.glob(f"{PREFIX}*"):
        try:
            age_seconds = time.time() - left.stat().st_mtime
        except FileNotFoundError:
            continue  # its process has just removed it
        if not (left / _LOCK).exists() and age_seconds < _YOUNG_SECONDS:
            continue  # somebody is just making it
        lock = ProcessLock(left / _LOCK)
        if lock.acquire():
            shutil.rmtree(left, ignore_errors=True)
            lock.release()


def said(error: OSError, where: Path) -> str:
    """What went wrong, in words for whoever sees the disk."""
    if is_full(error):
        return f"There is no room left at {where} ({error.strerror})"
    return f"{error.filename or where} cannot be used: {error.strerror or error}"


def check_room(folder: Path, needed_bytes: int) -> None:
    """Raises StorageUnavailable when ``folder``'s disk has less room than that."""
    free = free_bytes(folder)
    if free < needed_bytes:
        raise StorageUnavailable(
            f"There is no room at {folder}: {size(needed_bytes)} are needed and {size(free)} are "
            "free."
        )
