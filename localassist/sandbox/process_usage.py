"""What processes use, from /proc. They may end at any moment, which counts as using nothing."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_MAX_DESCRIPTORS = 4096  # looked at per measurement, of all processes together


def memory_bytes(pids: Iterable[int], limit_bytes: int) -> int:
    """Resident memory of all together. Pages that several share are counted once for each, which
    takes little time; only when that is more than ``limit_bytes`` they are counted by shares."""
    pids = list(pids)
    resident = sum(map(_resident_bytes, pids))
    return resident if resident <= limit_bytes else sum(map(_proportional_bytes, pids))


def threads(pids: Iterable[int]) -> int:
    """Threads of all together; a process has at least one."""
    return sum(_thread_count(pid) for pid in pids)


def unlinked_bytes(pids: Iterable[int], device: int) -> int:
    """Disk space, on one file system, of files that are open but have no name any more. What may
    not be read counts nothing."""
    sizes = {}
    for details in _open_files(pids):
        if details.st_dev == device and details.st_nlink == 0:
            sizes[details.st_ino] = details.st_blocks * 512
    return sum(sizes.values())


def started_at(pid: int) -> int | None:
    """When the process was started, in clock ticks since boot: with its number that names it. None
    when there is none, or one that has only not been waited for."""
    fields = _stat_fields(pid)
    return int(fields[19]) if fields and fields[0] not in (b"Z", b"X") else None


def _resident_bytes(pid: int) -> int:
    text = _read(f"/proc/{pid}/statm")
    return int(text.split()[1]) * _PAGE_BYTES if text else 0


def _proportional_bytes(pid: int) -> int:
    for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * 1024
    return _resident_bytes(pid)


def _thread_count(pid: int) -> int:
    fields = _stat_fields(pid)
    return int(fields[17]) if fields else 0


def _stat_fields(pid: int) -> list[bytes]:
    """Of /proc/<pid>/stat from the third, the state, on; the second may contain anything."""
    return _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()


def _open_files(pids: Iterable[int]) -> Iterator[os.stat_result]:
    left = _MAX_DESCRIPTORS
    for pid in pids:
        try:
            numbers = os.listdir(f"/proc/{pid}/fd")
        except OSError:
            continue
        for number in numbers[:left]:
            try:
                details = os.stat(f"/proc/{pid}/fd/{number}")
            except OSError:
                continue
            if stat.S_ISREG(details.st_mode):
                yield details
        left -= len(numbers)
        if left <= 0:
            return


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""
