"""Opens what lies below a folder that hostile code changes at the same time.

``openat2`` refuses links and other file systems while it walks (Linux 5.6). Where it is missing or
forbidden, the path is opened folder by folder, each without following a link. Checking first and
opening then would lose against code that swaps a folder for a link in between.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from functools import lru_cache
from pathlib import PurePosixPath

_NO_XDEV, _NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x01, 0x02, 0x04, 0x08
_RESOLVE = _NO_XDEV | _NO_MAGICLINKS | _NO_SYMLINKS | _BENEATH
_SYS_OPENAT2 = 437  # the same on every architecture
_ALWAYS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_FOLDER = os.O_RDONLY | os.O_DIRECTORY


class _OpenHow(ctypes.Structure):
    _fields_ = [
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    ]


def open_beneath(folder: int, path: str, flags: int = os.O_RDONLY) -> int:
    """A file descriptor for what ``path`` names below the folder, which is open as ``folder``.

    ``path`` is relative and without ``..``. A pipe does not block. Raises OSError: ELOOP for a link
    anywhere on the way, EXDEV for another file system.
    """
    check_relative(path)
    if _has_openat2():
        return _openat2(folder, path, flags | _ALWAYS)
    return _open_step_by_step(folder, path, flags | _ALWAYS)


def open_folder_beneath(folder: int, path: str) -> int:
    """A file descriptor for a folder; ``""`` is ``folder`` itself, opened again."""
    return open_beneath(folder, path or ".", _FOLDER)


def check_relative(path: str) -> None:
    """Raises OSError (EXDEV) for a path that does not stay below where it begins."""
    parts = PurePosixPath(path).parts
    if path.startswith("/") or ".." in parts or "\0" in path:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)


@lru_cache(maxsize=1)
def _has_openat2() -> bool:
    if not sys.platform.startswith("linux"):
        return False
    try:
        os.close(_openat2(-100, ".", _FOLDER | os.O_CLOEXEC))  # AT_FDCWD
    except OSError:
        return False
    return True


@lru_cache(maxsize=1)
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _openat2(folder: int, path: str, flags: int) -> int:
    how = _OpenHow(flags=flags, mode=0, resolve=_RESOLVE)
    while True:
        descriptor = _libc().syscall(
            ctypes.c_long(_SYS_OPENAT2),
            ctypes.c_int(folder),
            ctypes.c_char_p(os.fsencode(path)),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
        if descriptor >= 0:
            return int(descriptor)
        number = ctypes.get_errno()
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number), path)


def _open_step_by_step(folder: int, path: str, flags: int) -> int:
    device = os.fstat(folder).st_dev
    *parents, last = PurePosixPath(path).parts or (".",)
    steps = [(name, _FOLDER | _ALWAYS) for name in parents] + [(last, flags)]
    current = folder
    try:
        for name, step_flags in steps:
            opened = os.open(name, step_flags, dir_fd=current)
            if current != folder:
                os.close(current)
            current = opened
            if os.fstat(current).st_dev != device:
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
    except OSError:
        if current != folder:
            os.close(current)
        raise
    return current
