"""Files go into a kernel's folder and come out of it, from the host's side.

Code may change the folder at any moment, so nothing here goes by a path: all is done in opened
folders, new files appear by a rename, and what was opened is looked at, not what was named. Knows
neither kernels nor where contents are kept.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from localassist.sandbox.beneath import check_relative, open_beneath, open_folder_beneath

CHUNK_BYTES = 1 << 20
_TRIES = 20
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_IN_THE_WAY = (errno.EISDIR, errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)


class NotKept(Exception):
    """A file of code that is not taken; the text says why, as the end of a sentence."""


@contextmanager
def opened_folder(path: Path) -> Iterator[int]:
    """The folder of a kernel, for as long as the block runs, also where code has closed it to its
    owner. Code cannot put anything else in its place. Raises OSError."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags)
    except PermissionError:
        path.chmod(0o700)
        descriptor = os.open(path, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def put_file(
    folder: int, path: str, source: Path, *, owner: int | None = None, changed_at: int = 0
) -> os.stat_result:
    """A copy of ``source`` under ``path`` below the folder, complete from the moment it is there.

    Folders on the way are made; whatever else has the path is replaced, a folder moved aside.
    ``owner`` is the user and group it is given to. ``changed_at`` (seconds) lies in the past, so
    that any later change shows in the file's time. Returns the status of what was put. Raises
    OSError.
    """
    with _parent(folder, path, owner) as (parent, name):
        temporary = _temporary_name()
        target = os.open(temporary, _CREATE, 0o600, dir_fd=parent)
        try:
            try:
                with source.open("rb") as opened:
                    _copy(opened.fileno(), target)
                os.utime(target, (changed_at, changed_at))
                if owner is not None:
                    os.fchown(target, owner, owner)
                status = os.fstat(target)
            finally:
                os.close(target)
            _move_to(parent, temporary, name)
            return status
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=parent)
            raise


def put_link(folder: int, path: str, target: str, *, owner: int | None = None) -> os.stat_result:
    """A symbolic link for code to follow; the host never does. Returns its status. Raises
    OSError."""
    with _parent(folder, path, owner) as (parent, name):
        temporary = _temporary_name()
        os.symlink(target, temporary, dir_fd=parent)
        try:
            if owner is not None:
                os.chown(temporary, owner, owner, dir_fd=parent, follow_symlinks=False)
            status = os.stat(temporary, dir_fd=parent, follow_symlinks=False)
            _move_to(parent, temporary, name)
            return status
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=parent)
            raise


class Output:
    """A file that code has written, opened for reading: ``open_output`` makes one."""

    def __init__(self, descriptor: int, size_bytes: int) -> None:
        # An object, not a number: one that is closed while a thread reads is no other file's.
        self._file = open(descriptor, "rb", buffering=0)
        self.size_bytes = size_bytes

    def chunks(self) -> Iterator[bytes]:
        """The bytes that the file had when it was opened; what it grows by meanwhile is left out.
        Raises NotKept when it shrinks."""
        left = self.size_bytes
        while left:
            chunk = self._file.read(min(left, CHUNK_BYTES))
            if not chunk:
                raise NotKept("it became shorter while it was read")
            left -= len(chunk)
            yield chunk

    def close(self) -> None:
        self._file.close()


def open_output(folder: int, path: str, *, max_bytes: int) -> Output:
    """A regular file below the folder, opened without following links. Raises NotKept."""
    try:
        descriptor = open_beneath(folder, path)
    except OSError as error:
        raise NotKept(_reason(error)) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise NotKept("it is not a regular file")
        if status.st_nlink != 1:
            raise NotKept("it has several hard links, or has been removed")
        if status.st_dev != os.fstat(folder).st_dev:
            raise NotKept("it lies on another file system")
        if status.st_size > max_bytes:
            raise NotKept(f"its {status.st_size:,} bytes are more than the {max_bytes:,} allowed")
        return Output(descriptor, status.st_size)
    except BaseException:
        os.close(descriptor)
        raise


def _reason(error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return "it has been removed"
    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EXDEV):
        return "it is reached through a link"
    return f"it cannot be read: {error.strerror}"


@contextmanager
def _parent(folder: int, path: str, owner: int | None) -> Iterator[tuple[int, str]]:
    """The opened folder that a path lies in, made where it is missing, and the path's last name."""
    check_relative(path)
    *parents, name = PurePosixPath(path).parts
    current = open_folder_beneath(folder, "")
    try:
        for step in parents:
            inner = _enter(current, step, owner)
            os.close(current)
            current = inner
        yield current, name
    finally:
        os.close(current)


def _enter(parent: int, name: str, owner: int | None) -> int:
    """A folder in another one, opened; whatever else has the name is moved aside."""
    for _ in range(_TRIES):
        try:
            return open_folder_beneath(parent, name)
        except FileNotFoundError:
            _make_folder(parent, name, owner)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
            _move_aside(parent, name)
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), name)


def _make_folder(parent: int, name: str, owner: int | None) -> None:
    """Given away first and named then. Where something came in between, nothing is made."""
    temporary = _temporary_name()
    os.mkdir(temporary, 0o700, dir_fd=parent)
    try:
        if owner is not None:
            made = open_folder_beneath(parent, temporary)
            try:
                os.fchown(made, owner, owner)
            finally:
                os.close(made)
        os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
    except OSError as error:
        with suppress(OSError):
            os.rmdir(temporary, dir_fd=parent)
        if error.errno not in _IN_THE_WAY:
            raise


def _move_to(parent: int, temporary: str, name: str) -> None:
    for _ in range(_TRIES):
        try:
            os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
            return
        except OSError as error:
            if error.errno not in _IN_THE_WAY:
                raise
            _move_aside(parent, name)
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), name)


def _move_aside(parent: int, name: str) -> None:
    aside = f"{name}.{secrets.token_hex(4)}"
    with suppress(FileNotFoundError):
        os.rename(name, aside, src_dir_fd=parent, dst_dir_fd=parent)


def _temporary_name() -> str:
    return f".incoming-{secrets.token_hex(8)}"


def _copy(source: int, target: int) -> None:
    """All bytes, in the kernel where the file systems can do that."""
    if hasattr(os, "copy_file_range"):
        try:
            while os.copy_file_range(source, target, 64 * CHUNK_BYTES):
                pass
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
    # Goes on where it stopped; some file systems say 0 although there is more.
    while chunk := os.read(source, CHUNK_BYTES):
        view = memoryview(chunk)
        while view:
            view = view[os.write(target, view) :]
