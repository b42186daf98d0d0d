"""Removes a folder that unknown code has filled. No process may be left that can change it."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def remove_tree(folder: Path) -> None:
    """Remove the folder and all below it, however deep, whatever the permissions and names; follows
    no links. Not an error when it is gone already. Raises OSError for what cannot be removed."""
    try:
        if not stat.S_ISDIR(os.lstat(folder).st_mode):
            os.unlink(folder)
            return
    except FileNotFoundError:
        return
    os.chmod(folder, 0o700)
    top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        moved = 0
        while names := os.listdir(top):
            for name in names:
                moved = _remove(name, top, moved)
    finally:
        os.close(top)
    os.rmdir(folder)


def _remove(name: str, top: int, moved: int) -> int:
    """Remove an entry of ``top``. What lies in a folder is removed too, but folders in it are moved
    up for another round: so depth costs neither stack nor descriptors. ``moved``: how many were."""
    details = os.stat(name, dir_fd=top, follow_symlinks=False)
    if not stat.S_ISDIR(details.st_mode):
        os.unlink(name, dir_fd=top)
        return moved
    os.chmod(name, 0o700, dir_fd=top)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    folder = os.open(name, flags, dir_fd=top)
    try:
        for inner in os.listdir(folder):
            if stat.S_ISDIR(os.stat(inner, dir_fd=folder, follow_symlinks=False).st_mode):
                os.chmod(inner, 0o700, dir_fd=folder)
                moved = _move_up(inner, folder, top, moved)
            else:
                os.unlink(inner, dir_fd=folder)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=top)
    return moved


def _move_up(name: str, folder: int, top: int, moved: int) -> int:
    """Under a name that is free in ``top``; a folder is never moved over one that is not empty."""
    while True:
        moved += 1
        try:
            os.rename(name, f".moved-{moved}", src_dir_fd=folder, dst_dir_fd=top)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
        else:
            return moved
