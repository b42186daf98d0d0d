"""Where a kernel finds its folders when there is no container and no bubblewrap.

A service that is root may make a view of the file system of its own: ``/mnt/data`` and a small
``/tmp``. Everybody else's kernels see the machine as it is, and their folders where they lie.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localassist.errors import SandboxUnavailable
from localassist.sandbox.providers.base import Box
from localassist.sandbox.providers.startup import DATA, GUEST, Places
from localassist.sandbox.tree_removal import remove_tree

_TRY_UNSHARE = """
import ctypes, sys
CLONE_NEWNS, MS_REC_PRIVATE = 0x20000, 0x44000
libc = ctypes.CDLL(None)
sys.exit(bool(libc.unshare(CLONE_NEWNS) or libc.mount(b"none", b"/", None, MS_REC_PRIVATE, None)))
"""
_OWN_FOLDERS = ("/dev/shm", "/mnt", "/run", "/tmp")


@dataclass(frozen=True, slots=True)
class View:
    """``guest`` is where the host writes what lies in ``places.guest``. ``readable`` and
    ``writable`` are all that a kernel needs of the file system beside the system's own folders, as
    it sees them. ``mounts`` is as ``sandbox/supervise.py`` takes it."""

    places: Places
    guest: Path
    readable: tuple[Path, ...]
    writable: tuple[Path, ...]
    mounts: dict[str, Any] | None


def view_of(box: Box, uid: int | None, kept: ExitStack) -> View:
    """For kernels that become ``uid``; None: they stay who we are. What is made for it is removed
    with ``kept``. Raises SandboxUnavailable where the user cannot come to the box."""
    if uid is not None and may_mount():
        return _own_view(box, uid)
    folder = box.folder
    if uid is not None:
        folder = Path(tempfile.mkdtemp(prefix="localassist-sandbox-"))
        kept.callback(_remove, folder)
        folder.chmod(0o755)
    guest, scratch = folder / "guest", folder / "tmp"
    guest.mkdir(exist_ok=True)
    scratch.mkdir(mode=0o700, exist_ok=True)
    if uid is not None:
        os.chown(scratch, uid, uid)
        for path in (box.data, box.environment, box.python_base):
            wall = unreachable(path, uid)
            if wall is not None:
                raise SandboxUnavailable(
                    f"Kernels run as user {uid}, who may not enter {wall}, and {path} is below it."
                )
    places = Places(str(guest), str(box.data), str(scratch), str(scratch))
    readable = (box.environment, box.python_base, guest)
    return View(places, guest, readable, (box.data, scratch), None)


def _remove(folder: Path) -> None:
    with suppress(OSError):
        remove_tree(folder)


def _own_view(box: Box, uid: int) -> View:
    guest = box.folder / "guest"
    guest.mkdir(exist_ok=True)
    guest.chmod(0o755)
    kept = [path for path in (box.python_base, box.environment) if not path.is_relative_to("/usr")]
    walls = {str(wall) for path in kept if (wall := unreachable(path, uid)) is not None}
    binds = [*((path, path) for path in kept), (box.data, DATA), (guest, GUEST)]
    mounts = {
        "empty": sorted({*_OWN_FOLDERS, *walls}),
        "binds": [[str(source), str(target)] for source, target in binds],
    }
    places = Places(GUEST, DATA, "/tmp", "/tmp")
    readable = (box.environment, box.python_base, Path(GUEST))
    return View(places, guest, readable, (Path(DATA), Path("/tmp"), Path("/dev/shm")), mounts)


def unreachable(path: Path, uid: int) -> Path | None:
    """The topmost folder on the way to ``path``, itself included, that the user may not enter. The
    user is in no group but one of the same number."""
    for folder in (*reversed(path.parents), path):
        found = folder.stat()
        bit = 0o100 if found.st_uid == uid else 0o010 if found.st_gid == uid else 0o001
        if not found.st_mode & bit:
            return folder
    return None


@functools.cache
def may_mount() -> bool:
    """Whether this process may make a namespace of mounts: root on a machine may, root in a
    container often not."""
    tried = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _TRY_UNSHARE], capture_output=True, env={}, cwd="/"
    )
    return tried.returncode == 0
