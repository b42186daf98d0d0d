"""Segments: the parsed, split and embedded content of files, kept on disk and never changed.

A segment's key says all that its content follows from, so two stores with the same file share one,
and search indexes can be built anew from segments at any time.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path

from localassist.disk import sync_folder
from localassist.errors import IndexUnavailable
from localassist.retrieval.segment import Segment, segment_key, window_norms
from localassist.retrieval.segment_files import (
    DAMAGED,
    read_segment,
    segment_folder,
    write_segment,
)

__all__ = ["Segment", "SegmentStore", "segment_key", "window_norms"]

_log = logging.getLogger(__name__)
_TEMPORARY = ".new-"


class SegmentStore:
    """Segments in a folder, used by several threads and processes at once.

    A segment appears with one rename when all of it is on disk; every file of it has a checksum.
    Those last used stay open, up to ``held_bytes``.
    """

    def __init__(self, root: Path, *, held_bytes: int = 512 * 2**20) -> None:
        self._root = root
        self._held_bytes = held_bytes
        self._bytes_open = 0
        self._open: OrderedDict[str, Segment] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> Segment | None:
        """The segment; None if there is none. One that is damaged is removed and counts as none.
        Reads all of it the first time; blocks. IndexUnavailable when the disk refuses."""
        with self._lock:
            if key in self._open:
                self._open.move_to_end(key)
                return self._open[key]
        folder = segment_folder(self._root, key)
        try:
            segment = read_segment(folder, key)
            os.utime(folder)  # in use: not to be swept
        except DAMAGED as error:
            if folder.exists():
                _log.warning("A stored segment is damaged and is made anew: %s", error)
                self._remove(folder)
            return None
        except OSError as error:
            raise IndexUnavailable(f"A stored segment cannot be read: {error.strerror}.") from error
        self._keep(segment)
        return segment

    def put(self, segment: Segment) -> Segment:
        """Store a segment, and return it as one that reads from disk. What another has stored under
        the key meanwhile stays. Raises OSError when the disk does not take it."""
        folder = segment_folder(self._root, segment.key)
        for _ in range(3):
            known = self.get(segment.key)
            if known is not None:
                return known
            folder.parent.mkdir(parents=True, exist_ok=True)
            new = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=self._root))
            try:
                write_segment(new, segment)
                _rename(new, folder)
            finally:
                shutil.rmtree(new, ignore_errors=True)
        raise OSError(f"segment {segment.key} cannot be read back after it was written")

    def keys(self) -> Iterator[str]:
        """Of all that are on disk."""
        if not self._root.is_dir():
            return
        for group in sorted(self._root.iterdir()):
            if len(group.name) == 2 and group.is_dir():
                yield from (folder.name for folder in sorted(group.iterdir()))

    def sweep(self, is_used: Callable[[str], bool], min_age_seconds: float) -> int:
        """Remove segments that nothing uses and that nobody opened in the last
        ``min_age_seconds``, and what killed writers have left. Returns how many segments."""
        before = time.time() - min_age_seconds
        removed = 0
        for key in list(self.keys()):
            folder = segment_folder(self._root, key)
            if _is_older(folder, before) and not is_used(key):
                self._remove(folder)
                removed += 1
        for left in self._root.glob(f"{_TEMPORARY}*"):
            if _is_older(left, before):
                shutil.rmtree(left, ignore_errors=True)
        return removed

    def _keep(self, segment: Segment) -> None:
        with self._lock:
            self._forget(segment.key)
            self._open[segment.key] = segment
            self._bytes_open += segment.held_bytes
            while self._bytes_open > self._held_bytes and len(self._open) > 1:
                self._forget(next(iter(self._open)))

    def _forget(self, key: str) -> None:
        """With the lock held."""
        segment = self._open.pop(key, None)
        if segment is not None:
            self._bytes_open -= segment.held_bytes

    def _remove(self, folder: Path) -> None:
        """At once for everybody: moved aside first, then deleted."""
        with self._lock:
            self._forget(folder.name)
        aside = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=self._root))
        with contextlib.suppress(FileNotFoundError):
            folder.rename(aside / folder.name)
        shutil.rmtree(aside, ignore_errors=True)


def _rename(new: Path, folder: Path) -> None:
    """Give a complete folder its name, unless that is taken."""
    sync_folder(new)
    try:
        new.rename(folder)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
    sync_folder(folder.parent)


def _is_older(path: Path, moment: float) -> bool:
    try:
        return path.stat().st_mtime < moment
    except FileNotFoundError:
        return False
