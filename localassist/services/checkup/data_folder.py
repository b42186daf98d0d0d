"""The folder everything is kept in: can it be used, and is it this user's alone?"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from localassist.disk import existing
from localassist.services.checkup.finding import Configuration, Finding, size

_LITTLE_BYTES, _TOO_LITTLE_BYTES = 2 * 2**30, 200 * 2**20
_FAR = ("nfs", "cifs", "smb", "fuse.sshfs", "9p", "ceph", "glusterfs")
"""File systems of other machines, on which locks and write-ahead logs cannot be relied on."""


def data_folder(settings: Configuration) -> Iterator[Finding]:
    home = settings.home
    name, there = "data folder", existing(home)
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        says = f"{there} cannot be written: {error.strerror}."
        yield Finding(name, "failed", (says,), "Choose another with --home.")
        return
    if there != home:
        yield Finding(name, "ok", (f"{home}, which will be made.",))
        return
    far = file_system(home)
    mode = stat.S_IMODE(home.stat().st_mode)
    if far is not None and far.startswith(_FAR):
        far_away = f"It lies on another machine ({far}); the database needs a disk of this one."
        fix = "Choose another with --home."
        yield Finding(name, "warning", (far_away, f"{home}."), fix)
    elif mode & 0o077:
        open_to = f"Other users of this machine may look into {home}."
        yield Finding(name, "warning", (open_to,), f"chmod 700 {home}")
    elif home.stat().st_uid != os.geteuid():
        foreign = f"{home} belongs to another user; what is written now is this one's."
        fix = "Run localassist as the user that the folder is of."
        yield Finding(name, "warning", (foreign,), fix)
    else:
        yield Finding(name, "ok", (f"{home}.",))


def disk(settings: Configuration) -> Iterator[Finding]:
    free = os.statvfs(existing(settings.home))
    free_bytes = free.f_bavail * free.f_frsize
    says = f"{size(free_bytes)} free for the data folder."
    snapshots = settings.engine.snapshot_disk_mb
    kept = f"Saved conversations of the engine may take {snapshots:,} MiB of it."
    if free_bytes < _TOO_LITTLE_BYTES:
        fix = "Make room, or choose another disk with --home."
        yield Finding("disk", "failed", (says, kept), fix)
    elif free_bytes < _LITTLE_BYTES:
        fix = "Make room, or lower engine.snapshot_disk_mb."
        yield Finding("disk", "warning", (says, kept), fix)
    elif free.f_files and not free.f_favail:
        yield Finding("disk", "failed", ("The disk takes no more files.",), "Remove some.")
    else:
        yield Finding("disk", "ok", (says, kept))


def file_system(path: Path, mounts: Path = Path("/proc/mounts")) -> str | None:
    """The kind of file system that ``path`` is on, None where the system does not tell."""
    try:
        lines = mounts.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return None
    found, depth = None, -1
    for line in lines:
        _, place, kind, *_ = line.split(" ")
        place = place.replace("\\040", " ")
        parts = len(Path(place).parts)
        if parts >= depth and path.resolve().is_relative_to(place):
            found, depth = kind, parts
    return found
