"""What a kernel is given to start with: its command, its environment, three files.

The same for every provider; the start program itself is ``sandbox/start_kernel.py``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localassist.sandbox.guest import guest_folder
from localassist.sandbox.providers.base import Box

MB = 1 << 20
DATA = "/mnt/data"
"""Where code finds its files."""
HOME = "/home/sandbox"
GUEST = "/run/localassist"
"""Where the three files lie, read-only."""

TMP = "/tmp"

START_PROGRAM = "start_kernel.py"
CONNECTION = "connection.json"
START = "start.json"

# One BLAS thread per core would multiply with the number of kernels, and each costs address space.
THREADS = 2
NICE = 5
OOM_SCORE_ADJ = 800

# Address space that libraries reserve and never touch.
RESERVED_MB = 4096


@dataclass(frozen=True, slots=True)
class Places:
    """Where a kernel finds its folders, for providers that cannot move them: ``guest`` is where the
    three files lie."""

    guest: str = GUEST
    data: str = DATA
    home: str = HOME
    tmp: str = TMP


INSIDE = Places()


def rlimits(box: Box, release: str | None = None) -> dict[str, int]:
    """Limits that the kernel sets for itself before any code runs, by their names in ``resource``.
    ``release`` is the version of Linux, of this machine unless told."""
    limits = {
        "RLIMIT_AS": (box.limits.memory_mb + RESERVED_MB) * MB,
        "RLIMIT_NPROC": box.limits.processes,
        "RLIMIT_FSIZE": box.limits.disk_mb * MB,
        "RLIMIT_CORE": 0,
        "RLIMIT_NOFILE": 512,
        "RLIMIT_MEMLOCK": MB,
        "RLIMIT_MSGQUEUE": 65536,
        "RLIMIT_SIGPENDING": 4096,
        "RLIMIT_CPU": 24 * 3600,
    }
    if not counts_processes_by_namespace(release):
        del limits["RLIMIT_NPROC"]
    left_out = {
        name for name in limits if name.lower().replace("rlimit_", "rlimit-") in box.without
    }
    return {name: value for name, value in limits.items() if name not in left_out}


def counts_processes_by_namespace(release: str | None = None) -> bool:
    """Since Linux 5.14, RLIMIT_NPROC inside a user namespace counts only what is in it; before,
    everything that the same user runs on the machine, so that a small number stops all forks."""
    major, minor = (release or os.uname().release).split(".")[:2]
    digits = "".join(character for character in minor if character.isdigit())
    return (int(major), int(digits or 0)) >= (5, 14)


def environment(box: Box, places: Places = INSIDE) -> dict[str, str]:
    """All variables that the kernel gets; none of the service's."""
    threads = dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_MAX_THREADS"),
        str(THREADS),
    )
    return {
        "PATH": f"{box.environment}/bin:/usr/bin:/bin",
        "HOME": places.home,
        "USER": "sandbox",
        "LANG": "C.UTF-8",
        "TMPDIR": places.tmp,
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MPLCONFIGDIR": f"{places.tmp}/matplotlib",
        "IPYTHONDIR": f"{places.tmp}/ipython",
        "OMP_WAIT_POLICY": "passive",
        # Every further arena of malloc reserves 64 MB of address space, Arrow's own allocator 1 GB
        # that counts as private memory.
        "MALLOC_ARENA_MAX": "2",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        **threads,
    }


def command(box: Box, places: Places = INSIDE) -> list[str]:
    """Isolated (``-I``): neither the working folder, which code can write to, nor variables nor a
    user's site-packages decide what is imported."""
    flags = [] if "module-path" in box.without else ["-I"]
    program = f"{places.guest}/{START_PROGRAM}"
    return [f"{box.environment}/bin/python", *flags, "-B", program, f"{places.guest}/{START}"]


def files(
    box: Box,
    connection: Mapping[str, Any],
    descriptors: Mapping[str, int],
    places: Places = INSIDE,
) -> dict[str, bytes]:
    """What lies in ``places.guest``, by name. ``descriptors`` are the inherited sockets by
    channel."""
    start = {
        "connection_file": f"{places.guest}/{CONNECTION}",
        "descriptors": dict(descriptors),
        "folder": places.data,
        "limit_memory_mb": None if "rlimit-memory" in box.without else box.limits.memory_mb,
        "nice": NICE,
        "oom_score_adj": None if "oom-score" in box.without else OOM_SCORE_ADJ,
        "own_modules_last": "module-path" not in box.without,
        "preload": list(box.preload),
        "rlimits": rlimits(box),
    }
    # The name is never used: the sockets are bound already.
    inside = {**connection, "key": connection["key"].decode(), "ip": f"{places.guest}/kernel"}
    return {
        START_PROGRAM: start_program().read_bytes(),
        START: json.dumps(start).encode(),
        CONNECTION: json.dumps(inside).encode(),
    }


def start_program() -> Path:
    return guest_folder() / START_PROGRAM
