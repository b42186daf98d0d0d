"""Watches from outside what kernels use: memory of all their processes, their number, and what they
write.

One thread for all kernels, which depends on no event loop. Limits inside the kernel hold single
processes and files; this holds the sum of them.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from localassist.sandbox.folder_usage import FolderUsage, folder_usage
from localassist.sandbox.limits import Limits
from localassist.sandbox.process_usage import (
    Hidden,
    can_look,
    memory_bytes,
    threads,
    unlinked_bytes,
)
from localassist.sandbox.providers.startup import DATA

log = logging.getLogger(__name__)

BUSY_SECONDS = 0.25
IDLE_SECONDS = 2.0
MB = 1024 * 1024
EXCESS = 2
SPARE_MB = 256
SPARE_FILES = 5_000
"""A folder with twice the limit, and what may be added between two looks, is not left to code that
ought to make room in it."""
REST = 4
"""The watch over one kernel rests so many times as long as a look has computed. What a look has
only waited, for a processor or a disk, it rests once: on a busy machine it would come too late."""
SPARE_PROCESSES = 8
"""The kernel's own and those around it, beside what code may start."""


@dataclass(frozen=True, slots=True)
class Breach:
    """A limit that is exceeded; ``because`` goes on from "because". ``kills``: there is no time to
    ask the code to end."""

    because: str
    kills: bool = False


class Watched:
    """What is watched of one kernel. ``report`` is called in the watchdog's thread, for the first
    limit that a piece of code exceeds, and again only if it has to be killed after all.
    ``unowned_bytes`` is memory of the kernel's that is in none of its processes."""

    def __init__(
        self,
        pids: Callable[[], list[int]],
        data: Path,
        report: Callable[[Breach], None],
        unowned_bytes: Callable[[], int] = int,
    ) -> None:
        self._pids = pids
        self._unowned_bytes = unowned_bytes
        self._data = data
        self._report = report
        self._limits: Limits | None = None  # unknown until the first piece of code
        self._given = FolderUsage()
        self._tolerated = FolderUsage()
        self._is_busy = False
        self._reported: Breach | None = None
        self._settles = False
        self._sees_files = False  # that processes hold

    @property
    def is_busy(self) -> bool:
        return self._is_busy

    def allow(self, disk_bytes: int, files: int) -> None:
        """Not written by the kernel, and not counted."""
        given = self._given
        self._given = FolderUsage(given.disk_bytes + disk_bytes, given.files + files)

    def begin(self, limits: Limits) -> None:
        """Code runs from now on."""
        if self._limits is None:
            # Some providers run processes that the service may not look at. After this, one that
            # cannot be looked at has hidden itself.
            self._sees_files = can_look(self._pids())
        self._limits = limits
        self._is_busy = True
        self._reported = None

    def end(self) -> None:
        self._is_busy = False
        # What is there was reported already; only more of it is reported again.
        self._settles = self._reported is not None
        self._reported = None

    def look(self) -> None:
        limits = self._limits
        if limits is None:
            return
        breach = self._of_processes(limits) or self._of_folder(limits)
        if breach is None:
            return
        before = self._reported
        if before is None or (breach.kills and not before.kills):
            self._reported = breach
            self._report(breach)

    def _of_processes(self, limits: Limits) -> Breach | None:
        pids = self._pids()
        limit = limits.memory_mb * MB
        unowned = self._unowned_bytes()
        memory = unowned + memory_bytes(pids, limit - unowned)
        if memory > limit:
            used = "its processes used"
            if memory - unowned <= limit:
                used = "its processes, and its files and sockets in memory, used up to"
            return Breach(
                f"{used} {memory // MB:,} MB of memory; the limit is {limits.memory_mb:,} MB",
                kills=True,
            )
        count = threads(pids)
        if count > limits.processes + SPARE_PROCESSES:
            return Breach(
                f"it ran {count:,} processes and threads; the limit is {limits.processes:,}"
            )
        return None

    def _of_folder(self, limits: Limits) -> Breach | None:
        usage = folder_usage(
            self._data, self._given.files + EXCESS * limits.files + SPARE_FILES + 1
        )
        try:
            device = self._data.stat().st_dev
        except OSError:
            return None
        disk = usage.disk_bytes
        if self._sees_files:
            folders = (DATA, str(self._data))
            try:
                disk += unlinked_bytes(self._pids(), device, folders, limits.disk_mb * MB)
            except Hidden as hidden:
                return Breach(str(hidden), kills=True)
        found = FolderUsage(disk, usage.files, usage.is_complete)
        breach = self._exceeded(found, limits)
        if self._settles and (breach is None or not breach.kills):
            # Code that begins with a full folder may make room, but not write more.
            self._settles = False
            self._tolerated = FolderUsage() if breach is None else found
            return None
        return breach

    def _exceeded(self, found: FolderUsage, limits: Limits) -> Breach | None:
        disk = found.disk_bytes - self._given.disk_bytes
        files = found.files - self._given.files
        tolerated = self._tolerated
        if disk > limits.disk_mb * MB and found.disk_bytes > tolerated.disk_bytes:
            return Breach(
                f"it wrote {disk // MB:,} MB to its folder; the limit is {limits.disk_mb:,} MB",
                kills=disk > (EXCESS * limits.disk_mb + SPARE_MB) * MB,
            )
        if files > limits.files and found.files > tolerated.files:
            return Breach(
                f"there are more than {limits.files:,} files and folders in its folder",
                kills=files > EXCESS * limits.files + SPARE_FILES,
            )
        if not found.is_complete:
            because = "folders in its folder are nested too deeply, or closed to everybody"
            return Breach(because, kills=True)
        return None


class Watchdog:
    """The thread runs as long as there is a kernel."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._next_look: dict[Watched, float] = {}
        self._thread: threading.Thread | None = None

    def add(self, watched: Watched) -> None:
        with self._changed:
            self._next_look[watched] = self._monotonic()
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="sandbox-watchdog", daemon=True
                )
                self._thread.start()

    def remove(self, watched: Watched) -> None:
        with self._changed:
            self._next_look.pop(watched, None)
            self._changed.notify()

    def hurry(self, watched: Watched) -> None:
        """Code begins: do not wait for the end of a long rest."""
        with self._changed:
            if watched in self._next_look:
                self._next_look[watched] = self._monotonic()
                self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._next_look:
                    self._thread = None
                    return
                watched, due = min(self._next_look.items(), key=lambda item: item[1])
                wait = due - self._monotonic()
                if wait > 0:
                    self._changed.wait(wait)
                    continue
            began, computed = self._monotonic(), time.thread_time()
            try:
                watched.look()
            except Exception:  # whatever it was, the other kernels have to be watched
                log.exception("A kernel could not be looked at")
            taken, computed = self._monotonic() - began, time.thread_time() - computed
            pause = rest_seconds(taken, computed, is_busy=watched.is_busy)
            with self._changed:
                if watched in self._next_look:
                    self._next_look[watched] = self._monotonic() + pause


def rest_seconds(taken_seconds: float, computed_seconds: float, *, is_busy: bool) -> float:
    """How long to rest after a look that took so long, and computed for so long of it."""
    least = BUSY_SECONDS if is_busy else IDLE_SECONDS
    return max(least, REST * computed_seconds, taken_seconds)


@functools.cache
def watchdog() -> Watchdog:
    """The one of this process."""
    return Watchdog()
