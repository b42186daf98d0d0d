"""A lock between processes on one machine, held by an open file and freed when its holder dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from localassist.errors import StorageUnavailable


def working_lock(home: Path) -> ProcessLock:
    """Held by the process that ingests for the data folder, so by some process for as long as any
    service works on it."""
    return ProcessLock(home / "stores" / ".ingest.lock")


class ProcessLock:
    """Not for threads: one object belongs to one holder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Take the lock unless another holds it; whether it is ours now. Raises
        StorageUnavailable."""
        if self._descriptor is not None:
            return True
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageUnavailable(
                f"The file {self._path} cannot be written: {error.strerror}."
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def is_held(self) -> bool:
        """Whether a living process holds it. Makes no file, and of a process that has died only the
        file is left."""
        try:
            with self._path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return False

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
