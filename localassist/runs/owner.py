"""Who holds a lease: a name for this process that others can check for life.

A process that was killed leaves its leases behind. On the same machine its successor need not wait
for them to run out: the operating system knows that the process is gone.
"""

from __future__ import annotations

import os
import secrets
import socket
from pathlib import Path


def this_process() -> str:
    """A fresh owner name; each runtime has its own. Form: ``host/pid/started/nonce``."""
    pid = os.getpid()
    return f"{_host()}/{pid}/{_started(pid)}/{secrets.token_hex(4)}"


def is_dead(owner: str) -> bool:
    """True only when the owner ran on this host and certainly runs no more."""
    try:
        host, pid, started, _ = owner.rsplit("/", 3)
        number = int(pid)
    except ValueError:
        return False
    if host != _host():
        return False
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return _started(number) != started


def _host() -> str:
    # Containers that share a data folder may share a host name but not process numbers.
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = "-"
    return f"{socket.gethostname()}/{namespace}"


def _started(pid: int) -> str:
    """When the process started, in kernel ticks, so that a reused number is not mistaken for it."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "-"
    return stat.rpartition(")")[2].split()[19]
