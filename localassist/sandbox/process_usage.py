"""What processes use, from /proc. They may end at any moment, which counts as using nothing."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Sequence

MAX_DESCRIPTORS = 4096
"""Of all processes together: looking at more takes too long to be done again and again."""
MAX_MAPS_BYTES = 1 << 20
"""Of one process's list of mappings, about 20,000 of them. Each costs memory that nobody counts."""

# In memory, swapped out, and what it takes to say where which page is.
_MEMORY = re.compile(rb"^(?:VmRSS|VmSwap|VmPTE):\s+(\d+)", re.MULTILINE)
_SHARES = re.compile(rb"^(?:Pss|SwapPss):\s+(\d+)", re.MULTILINE)
_TABLES = re.compile(rb"^VmPTE:\s+(\d+)", re.MULTILINE)
_DELETED = re.compile(rb"^\S+ \S+ \S+ \S+ (\d+) +(/.*) \(deleted\)$", re.MULTILINE)


class Hidden(Exception):
    """Processes do not let themselves be looked at; the text goes on from "because"."""


def memory_bytes(pids: Iterable[int], limit_bytes: int) -> int:
    """Memory of all together, also what of it is swapped out, with its page tables. Pages that
    several share are counted once for each, which takes little time; only when that is more than
    ``limit_bytes`` they are counted by shares."""
    pids = list(pids)
    whole = sum(map(_whole_bytes, pids))
    return whole if whole <= limit_bytes else sum(map(_proportional_bytes, pids))


def threads(pids: Iterable[int]) -> int:
    """Threads of all together; a process has at least one."""
    return sum(_thread_count(pid) for pid in pids)


def can_look(pids: Iterable[int]) -> bool:
    """Whether ``unlinked_bytes`` may look at what these processes hold."""
    try:
        for pid in pids:
            _descriptors(pid)
            _maps(pid)
    except Hidden:
        return False
    return True


def unlinked_bytes(
    pids: Iterable[int], device: int, folders: Sequence[str], most_bytes: int
) -> int:
    """Disk space, on one file system, of files that have no name any more and are still held. One
    that is only mapped into memory, from below ``folders``, cannot be measured and counts as
    ``most_bytes``. Raises Hidden where a process cannot be looked at, or holds too much."""
    sizes: dict[int, int] = {}
    mapped: set[int] = set()
    below = tuple(os.fsencode(folder) + b"/" for folder in folders)
    left = MAX_DESCRIPTORS
    for pid in pids:
        numbers = _descriptors(pid)
        left -= len(numbers)
        if left < 0:
            raise Hidden(f"its processes hold more than {MAX_DESCRIPTORS:,} open files")
        for number in numbers:
            try:
                details = os.stat(f"/proc/{pid}/fd/{number}")
            except OSError:
                continue
            is_nameless = stat.S_ISREG(details.st_mode) and details.st_nlink == 0
            if is_nameless and details.st_dev == device:
                sizes[details.st_ino] = details.st_blocks * 512
        for inode, path in _DELETED.findall(_maps(pid)):
            if path.startswith(below):
                mapped.add(int(inode))
    return sum(sizes.values()) + most_bytes * len(mapped - sizes.keys())


def started_at(pid: int) -> int | None:
    """When the process was started, in clock ticks since boot: with its number that names it. None
    when there is none, or one that has only not been waited for."""
    fields = _stat_fields(pid)
    return int(fields[19]) if fields and fields[0] not in (b"Z", b"X") else None


def _whole_bytes(pid: int) -> int:
    return _kilobytes(_MEMORY, _read(f"/proc/{pid}/status"))


def _proportional_bytes(pid: int) -> int:
    shares = _kilobytes(_SHARES, _read(f"/proc/{pid}/smaps_rollup"))
    if not shares:
        return _whole_bytes(pid)
    return shares + _kilobytes(_TABLES, _read(f"/proc/{pid}/status"))


def _kilobytes(lines: re.Pattern[bytes], text: bytes) -> int:
    return 1024 * sum(map(int, lines.findall(text)))


def _thread_count(pid: int) -> int:
    fields = _stat_fields(pid)
    return int(fields[17]) if fields else 0


def _stat_fields(pid: int) -> list[bytes]:
    """Of /proc/<pid>/stat from the third, the state, on; the second may contain anything."""
    return _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()


def _descriptors(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/fd")
    except PermissionError:
        raise Hidden("a process of it hides its open files") from None
    except OSError:
        return []


def _maps(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/maps", "rb") as file:
            text = file.read(MAX_MAPS_BYTES)
    except PermissionError:
        raise Hidden("a process of it hides its memory") from None
    except OSError:
        return b""
    if len(text) == MAX_MAPS_BYTES:
        raise Hidden("a process of it has its memory in too many pieces")
    return text


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""
