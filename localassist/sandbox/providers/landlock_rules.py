"""What Landlock is told: rights by path, for each version of its interface. Pure but for ``abi``.

Numbers are those of ``linux/landlock.h``.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_CREATE_RULESET = 444
_VERSION = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE = 1 << 4, 1 << 5
_MAKE_DIR, _MAKE_REG, _MAKE_SYM = 1 << 7, 1 << 8, 1 << 12
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_OVERWRITE = _WRITE_FILE | _TRUNCATE
READ = _EXECUTE | _READ_FILE | _READ_DIR
WRITE = (
    (READ & ~_EXECUTE)
    | (_OVERWRITE | _REMOVE_DIR | _REMOVE_FILE)
    | (_MAKE_DIR | _MAKE_REG | _MAKE_SYM | _REFER)
)
_PATH_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
"""How many rights on paths each version knows; 16 since version 5."""
_TCP = 0b11
_SCOPES = 0b11
_SYSTEM = ("/usr", "/bin", "/lib", "/lib64", "/etc/alternatives", "/etc/fonts")
_READABLE_FILES = (
    *("/etc/ld.so.cache", "/etc/localtime", "/etc/nsswitch.conf"),
    *("/dev/urandom", "/dev/random", "/dev/zero", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat"),
)


@dataclass(frozen=True, slots=True)
class Ruleset:
    """``attributes`` is struct landlock_ruleset_attr. What it names is forbidden but for
    ``rules``: a path with the rights on it and on what lies below."""

    attributes: bytes
    rules: tuple[tuple[str, int], ...]


def abi() -> int:
    """The version of Landlock's interface; 0 where the kernel has none or it is switched off."""
    libc = ctypes.CDLL(None, use_errno=True)
    found = libc.syscall(ctypes.c_long(_CREATE_RULESET), None, ctypes.c_long(0), _VERSION)
    return max(int(found), 0)


def ruleset(version: int, *, read: Sequence[Path], write: Sequence[Path]) -> Ruleset:
    """Read and run what is in ``read`` and in the system's folders; change what is in ``write``.
    No TCP, no signals and no abstract sockets beyond the kernel's own processes, as far as the
    version has words for it."""
    paths = (1 << _PATH_RIGHTS.get(version, 16)) - 1
    attributes = struct.pack("<Q", paths)
    if version >= 4:
        attributes += struct.pack("<Q", _TCP)
    if version >= 6:
        attributes += struct.pack("<Q", _SCOPES)
    rules = {
        **dict.fromkeys(_READABLE_FILES, READ),
        "/proc/self": READ & ~_EXECUTE | _OVERWRITE,
        "/dev/null": READ | _OVERWRITE,
        **dict.fromkeys(_SYSTEM, READ),
        **{str(path): READ for path in read},
        **{str(path): WRITE for path in write},
    }
    return Ruleset(attributes, tuple((path, rights & paths) for path, rights in rules.items()))
