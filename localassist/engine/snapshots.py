"""Saved KV cells of idle conversations: in memory first, then on disk, then gone.

Knows nothing of models: it keeps bytes under the tokens they stand for. Only ``entries`` and
``close`` wait for the disk; a thread of the store's own reads, writes and removes files. Several
processes may share a folder: names come from contents, files appear whole, and one that has gone is
one that is gone.
"""

from __future__ import annotations

import enum
import logging
import os
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from localassist.engine.counters import SnapshotCounters
from localassist.engine.snapshot_file import (
    Entry,
    SnapshotDamaged,
    SnapshotKey,
    file_name,
    file_size,
    key_in_name,
    read_entry,
    read_snapshot,
    snapshot_key,
    stored_files,
    write_snapshot,
)

__all__ = ["PENDING", "Entry", "Pending", "SnapshotCounters", "SnapshotKey", "SnapshotStore"]

_log = logging.getLogger(__name__)
_QUEUED_WRITES = 16
_QUEUED_BYTES = 64 * 2**20
_FRESH_SECONDS = 10.0
"""What was read from disk stays in memory this long, whatever the budget, unless it is used before:
long enough for the other segments of the same conversation to arrive."""
_PAUSE_SECONDS = 60.0
"""After a failed write the disk is left alone this long."""
_WRITES_BETWEEN_COUNTS = 64


class Pending(enum.Enum):
    """The type of ``PENDING``: being read from disk; ``on_ready`` says when to ask again."""

    PENDING = enum.auto()


PENDING: Final = Pending.PENDING


@dataclass(frozen=True, slots=True, eq=False)
class _Item:
    start: int
    tokens: tuple[int, ...]
    data: memoryview


class SnapshotStore:
    """Segments of one fingerprint. May be used from any thread.

    ``folder`` holds one folder per fingerprint; None keeps everything in memory. ``on_ready`` is
    called on the store's thread whenever a snapshot that was PENDING has arrived, or turned out to
    be gone. Where the disk fails, the store says so once in the log and goes on in memory.
    """

    def __init__(
        self,
        folder: Path | None,
        fingerprint: str,
        memory_bytes: int,
        disk_bytes: int,
        on_ready: Callable[[], None],
    ) -> None:
        self._root = folder
        self._folder = (folder or Path()) / fingerprint
        self._fingerprint = fingerprint
        self._memory_budget = memory_bytes
        self._disk_budget = disk_bytes if folder is not None else 0
        self._on_ready = on_ready

        self._change = threading.Condition()  # guards everything below
        self._memory: OrderedDict[SnapshotKey, _Item] = OrderedDict()
        self._memory_used = 0
        self._fresh: dict[SnapshotKey, float] = {}
        self._disk: dict[SnapshotKey, int] = {}
        self._disk_used = 0
        self._reads: OrderedDict[SnapshotKey, None] = OrderedDict()
        self._writes: OrderedDict[SnapshotKey, _Item] = OrderedDict()
        self._removals: deque[SnapshotKey] = deque()
        self._touched: OrderedDict[SnapshotKey, None] = OrderedDict()
        self._writing: tuple[SnapshotKey, _Item] | None = None
        self._hits = self._misses = self._written = self._damaged = 0
        self._uncounted_writes = 0
        self._paused_until = 0.0
        self._is_busy = self._is_closed = False
        self._warned: set[str] = set()

        self._look_around()
        self._thread: threading.Thread | None = None
        if self._disk_budget > 0:
            self._thread = threading.Thread(target=self._run, name="snapshots", daemon=True)
            self._thread.start()

    @property
    def counters(self) -> SnapshotCounters:
        with self._change:
            return SnapshotCounters(
                self._memory_used,
                self._disk_used,
                self._hits,
                self._misses,
                self._written,
                self._damaged,
            )

    def entries(self) -> list[Entry]:
        """What is on disk, least recently used first. Reads the head of every file; damaged ones
        are removed."""
        with self._change:
            keys = list(self._disk)
        entries = []
        for key in keys:
            try:
                entries.append(read_entry(self._folder, self._fingerprint, key))
            except (OSError, SnapshotDamaged) as error:
                self._give_up(key, error)
        return entries

    def put(self, prefix: Sequence[int], segment: Sequence[int], data: memoryview) -> SnapshotKey:
        """Keep the cells of ``segment``, which follows ``prefix``. ``data`` must not change."""
        tokens = (*prefix, *segment)
        key = snapshot_key(self._fingerprint, len(prefix), tokens)
        with self._change:
            if key not in self._memory:
                item = _Item(len(prefix), tokens, data)
                self._remember(key, item)
                if key not in self._disk:
                    self._queue_write(key, item)
            self._use(key)
            self._trim_memory()
        return key

    def fetch(self, key: SnapshotKey) -> memoryview | Pending | None:
        """The saved cells; PENDING while they are read from disk; None where there are none."""
        with self._change:
            item = self._in_memory(key)
            if item is not None:
                self._hits += 1
                self._use(key)
                self._trim_memory()
                return item.data
            if key in self._reads:
                return PENDING
            if key in self._disk and not self._is_closed:
                self._reads[key] = None
                self._change.notify_all()
                return PENDING
            self._misses += 1
            return None

    def touch(self, keys: Iterable[SnapshotKey]) -> None:
        """Mark as used, in this order: the last one is kept longest. What was read from disk for
        this use counts for the memory budget again."""
        with self._change:
            for key in keys:
                self._fresh.pop(key, None)
                self._use(key)
            self._trim_memory()

    def discard(self, key: SnapshotKey) -> None:
        """Forget a snapshot, on disk too."""
        with self._change:
            self._forget(key)
            self._writes.pop(key, None)
            if self._disk.pop(key, None) is not None or self._is_being_written(key):
                self._removals.append(key)
                self._change.notify_all()

    def wait_idle(self, seconds: float) -> bool:
        """Wait until everything that was asked of the disk is done; False: it is not yet."""
        with self._change:
            self._change.notify_all()  # times of use alone do not wake the thread
            return self._thread is None or self._change.wait_for(
                lambda: not (self._is_busy or self._has_job()), seconds
            )

    def close(self, seconds: float = 10.0) -> None:
        """Write what is only in memory, most recently used first, for ``seconds`` at most; then
        stop. Idempotent; afterwards nothing new is read or written."""
        with self._change:
            if self._is_closed or self._thread is None:
                self._is_closed = True
                return
            self._queue_all_writes()
        self.wait_idle(seconds)
        with self._change:
            for key in list(self._memory):  # times on disk tell the order of use, not of writing
                self._use(key)
            self._is_closed = True
            self._writes.clear()
            self._reads.clear()
            self._change.notify_all()
        self._thread.join(1.0)

    # What is in memory. The lock is held.

    def _in_memory(self, key: SnapshotKey) -> _Item | None:
        item = self._memory.get(key) or self._writes.get(key)
        if item is None and self._writing is not None and self._writing[0] == key:
            item = self._writing[1]
        return item

    def _is_being_written(self, key: SnapshotKey) -> bool:
        return self._writing is not None and self._writing[0] == key

    def _remember(self, key: SnapshotKey, item: _Item) -> None:
        self._memory[key] = item
        self._memory_used += item.data.nbytes

    def _forget(self, key: SnapshotKey) -> None:
        item = self._memory.pop(key, None)
        self._fresh.pop(key, None)
        if item is not None:
            self._memory_used -= item.data.nbytes

    def _use(self, key: SnapshotKey) -> None:
        if key in self._memory:
            self._memory.move_to_end(key)
        if key in self._disk and not self._is_closed:
            self._touched[key] = None
            self._touched.move_to_end(key)

    def _trim_memory(self) -> None:
        """Least recently used out; one that is not on disk yet gets a last chance to be."""
        if self._memory_used <= self._memory_budget:
            return
        now = time.monotonic()
        self._fresh = {key: until for key, until in self._fresh.items() if until > now}
        for key in list(self._memory):
            if self._memory_used <= self._memory_budget:
                break
            if key not in self._fresh:
                item = self._memory[key]
                self._forget(key)
                if key not in self._disk:
                    self._queue_write(key, item)

    def _queue_write(self, key: SnapshotKey, item: _Item) -> None:
        """Have it written, if the disk keeps up; what is queued is still in memory. What leaves
        memory for good goes before what is only to survive the process."""
        if key in self._writes or self._is_being_written(key):
            return
        size = file_size(len(item.tokens), item.data.nbytes)
        writes = self._writes
        if key not in self._memory and _is_full(writes, size):
            writes = OrderedDict(write for write in writes.items() if write[0] not in self._memory)
        is_paused = time.monotonic() < self._paused_until
        if not (_is_full(writes, size) or is_paused or self._is_closed or size > self._disk_budget):
            writes[key] = item
            self._writes = writes
            self._change.notify_all()

    def _queue_all_writes(self) -> None:
        """As many as the disk may hold, most recently used first."""
        room = self._disk_budget
        for key, item in reversed(self._memory.items()):
            room -= file_size(len(item.tokens), item.data.nbytes)
            if room < 0:
                break
            if not (key in self._disk or key in self._writes or self._is_being_written(key)):
                self._writes[key] = item
        self._change.notify_all()

    # The store's thread.

    def _run(self) -> None:
        while True:
            with self._change:
                while (job := self._next_job()) is None:
                    self._is_busy = False
                    self._change.notify_all()
                    if self._is_closed:
                        return
                    self._change.wait()
                self._is_busy = True
            try:
                job()
            except Exception:
                _log.exception("keeping snapshots on disk failed")

    def _has_job(self) -> bool:
        return bool(self._reads or self._removals or self._writes or self._touched)

    def _next_job(self) -> Callable[[], None] | None:
        """Someone waits for reads; removals make room; times of use matter least."""
        if self._reads:
            return partial(self._read, next(iter(self._reads)))
        if self._removals:
            return partial(self._unlink, self._removals.popleft())
        if self._writes:
            key, item = self._writes.popitem(last=False)
            self._writing = key, item
            return partial(self._write, key, item)
        if self._touched:
            touched, self._touched = self._touched, OrderedDict()
            return partial(self._note_use, list(touched))
        return None

    def _read(self, key: SnapshotKey) -> None:
        try:
            entry, data = read_snapshot(self._folder, self._fingerprint, key)
        except Exception as error:  # whatever it is, someone waits for an answer
            self._give_up(key, error)
        else:
            with self._change:
                self._reads.pop(key, None)
                if key in self._disk and key not in self._memory:
                    self._fresh[key] = time.monotonic() + _FRESH_SECONDS
                    self._remember(key, _Item(entry.start, entry.tokens, data))
                    self._use(key)
                    self._trim_memory()
        self._on_ready()

    def _give_up(self, key: SnapshotKey, error: Exception) -> None:
        """A file that cannot be used is forgotten; a damaged one is removed."""
        is_damaged = isinstance(error, SnapshotDamaged)
        if is_damaged:
            self._warn("damaged", "ignoring a damaged snapshot, %s: %s", file_name(key), error)
        elif not isinstance(error, FileNotFoundError):  # another process may have removed it
            self._warn("read", "snapshots cannot be read: %s", error)
        with self._change:
            self._reads.pop(key, None)
            size = self._disk.pop(key, 0)
            if is_damaged:
                self._damaged += 1
                self._removals.append(key)
                self._change.notify_all()
            else:
                self._disk_used -= size

    def _write(self, key: SnapshotKey, item: _Item) -> None:
        size = 0
        try:
            size = write_snapshot(
                self._folder, self._fingerprint, item.start, item.tokens, item.data
            )
        except (OSError, MemoryError) as error:
            self._warn("write", "snapshots cannot be written to %s: %s", self._folder, error)
        with self._change:
            self._writing = None
            if not size:
                self._paused_until = time.monotonic() + _PAUSE_SECONDS
                self._writes.clear()
                return
            self._written += 1
            self._disk_used += size
            self._uncounted_writes += 1
            if key not in self._removals:
                self._disk[key] = size
            must_count = (
                self._disk_used > self._disk_budget
                or self._uncounted_writes >= _WRITES_BETWEEN_COUNTS
            )
        if must_count:
            self._trim_disk()

    def _unlink(self, key: SnapshotKey) -> None:
        path = self._folder / file_name(key)
        with suppress(OSError):
            size = path.stat().st_size
            path.unlink()
            with self._change:
                self._disk_used -= size

    def _note_use(self, keys: list[SnapshotKey]) -> None:
        """The order of use survives in the files' times, for the next process and for trimming."""
        now = time.time_ns()
        for place, key in enumerate(keys):
            with suppress(OSError):
                os.utime(self._folder / file_name(key), ns=(now, now + place))

    def _trim_disk(self) -> None:
        """Count the whole folder, and remove what was used least recently from it."""
        with self._change:
            touched, self._touched = self._touched, OrderedDict()
        self._note_use(list(touched))
        assert self._root is not None
        try:
            files = sorted(stored_files(self._root), key=lambda file: file.used_ns)
        except OSError:
            files = []
        used = sum(file.size for file in files)
        removed: set[Path] = set()
        for file in files:
            if used <= self._disk_budget:
                break
            with suppress(OSError):
                file.path.unlink()
            if not file.path.exists():
                used -= file.size
                removed.add(file.path)
        for folder in {path.parent for path in removed} - {self._folder}:
            with suppress(OSError):
                folder.rmdir()
        with self._change:
            self._disk_used = used
            self._uncounted_writes = 0
            for path in removed:
                key = key_in_name(path) if path.parent == self._folder else None
                if key is not None:
                    self._disk.pop(key, None)

    def _look_around(self) -> None:
        """Find what earlier processes have left, within the budget."""
        if self._root is None or not os.path.isdir(self._root):  # never raises, unlike Path.is_dir
            return
        self._trim_disk()
        try:
            files = sorted(stored_files(self._root), key=lambda file: file.used_ns)
        except OSError as error:
            self._warn("read", "snapshots cannot be read: %s", error)
            return
        for file in files:
            key = key_in_name(file.path) if file.path.parent == self._folder else None
            if key is not None and self._disk_budget > 0:  # otherwise nothing is read either
                self._disk[key] = file.size

    def _warn(self, subject: str, message: str, *arguments: object) -> None:
        """Once per subject: a full disk is full for every conversation."""
        if subject not in self._warned:
            self._warned.add(subject)
            _log.warning(message, *arguments)


def _is_full(writes: OrderedDict[SnapshotKey, _Item], size: int) -> bool:
    """Whether a queue has no room for ``size`` more bytes; an empty one has for any number."""
    waiting = sum(item.data.nbytes for item in writes.values())
    return bool(writes) and (len(writes) >= _QUEUED_WRITES or waiting + size > _QUEUED_BYTES)
