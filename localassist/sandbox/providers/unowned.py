"""Memory of a sandbox that belongs to no process, and so is in nobody's resident set: files in
memory, their names, what waits in sockets."""

from __future__ import annotations

import os
import re

from localassist.sandbox.providers.startup import HOME

IN_MEMORY = ("/tmp", "/dev/shm", HOME)
NAME_BYTES = 1024
"""An empty file in memory: its inode and its entry in a folder."""
FREE_SOCKETS = 128
"""So many cost nothing: those of the kernel, and of code that talks to processes of its own."""


def unowned_bytes(pid: int) -> int:
    """Of the sandbox that ``pid`` is in, as the host numbers it; 0 when it is gone. What waits in
    sockets cannot be seen, so each beyond ``FREE_SOCKETS`` counts with what it may hold."""
    return _of_files(pid) + _of_sockets(pid)


def _of_files(pid: int) -> int:
    total = 0
    for path in IN_MEMORY:
        try:
            found = os.statvfs(f"/proc/{pid}/root{path}")
        except OSError:
            continue
        used = (found.f_blocks - found.f_bfree) * found.f_frsize
        total += used + (found.f_files - found.f_ffree) * NAME_BYTES
    return total


def _of_sockets(pid: int) -> int:
    match = re.search(r"sockets: used (\d+)", _read(f"/proc/{pid}/net/sockstat"))
    sockets = max(0, int(match[1]) - FREE_SOCKETS) if match else 0
    # SO_SNDBUF doubles what is asked for, and no more than this can be.
    return sockets * 2 * int(_read("/proc/sys/net/core/wmem_max") or 0)


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""
