"""Folders of kernels, under the data folder: made, removed, and swept when a service was killed.

sandbox/sessions/lock           held while a folder is made or looked at
sandbox/sessions/<random>/lock  held as long as its service lives
                         /processes  what to end when it does not, one a line
                         /box   sockets and connection file: ``Box.folder``
                         /data  what the kernel sees as /mnt/data
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import secrets
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from localassist.sandbox.process_usage import started_at
from localassist.sandbox.tree_removal import remove_tree

log = logging.getLogger(__name__)

_PROCESS = re.compile(r"^(\d+) (\d+)\n", re.MULTILINE)


class SessionFolder:
    """One kernel's. Everything here blocks for a moment."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self.box = path / "box"
        self.data = path / "data"
        self._lock = lock

    def record(self, pids: Iterable[int]) -> None:
        """The processes that use it now; whatever they start ends with them."""
        named = [(pid, started_at(pid)) for pid in pids]
        lines = [f"{pid} {start}\n" for pid, start in named if start is not None]
        (self.path / "processes").write_text(_boot() + "\n" + "".join(lines), encoding="ascii")

    def remove(self) -> None:
        """No process may use it any more. May be called again."""
        if self._lock < 0:
            return
        try:
            remove_tree(self.path)
        except OSError as error:
            log.warning("%s cannot be removed: %s", self.path, error)
        finally:
            os.close(self._lock)
            self._lock = -1


class SessionFolders:
    """All of one data folder, which several services may share."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "sandbox" / "sessions"

    def create(self, owner_uid: int | None) -> SessionFolder:
        """``owner_uid``: whose the data is, where that is not the service. Raises OSError."""
        with self._locked():
            path = self._folder / secrets.token_hex(8)
            path.mkdir(mode=0o700)
            lock = _open_lock(path)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        folder = SessionFolder(path, lock)
        folder.box.mkdir(mode=0o700)
        folder.data.mkdir(mode=0o700)
        if owner_uid is not None:
            os.chown(folder.data, owner_uid, owner_uid)
        return folder

    def sweep(self) -> int:
        """End and remove what services that are gone have left. How many folders that were."""
        if not self._folder.is_dir():
            return 0
        swept = 0
        with self._locked():
            for path in self._folder.iterdir():
                if path.is_dir() and not path.is_symlink():
                    swept += _sweep(path)
        return swept

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = _open_lock(self._folder)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def _sweep(path: Path) -> bool:
    lock = _open_lock(path)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return False
    _end_processes(path / "processes")
    _end_half_made(path.name)
    SessionFolder(path, lock).remove()
    return True


def _open_lock(folder: Path) -> int:
    return os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _end_processes(record: Path) -> None:
    """Those that were recorded; a number that another process has by now is recognised."""
    try:
        boot, _, lines = record.read_text(encoding="ascii").partition("\n")
    except (OSError, ValueError):
        return
    if boot != _boot():
        return
    # The last line may be cut off, by a full disk or the end of the service.
    for pid, start in (map(int, line) for line in _PROCESS.findall(lines)):
        try:
            descriptor = os.pidfd_open(pid)
        except OSError:
            continue
        try:
            if started_at(pid) == start:
                log.warning("A kernel that a killed service has left is ended: process %d", pid)
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        except OSError:
            pass  # it has ended meanwhile
        finally:
            os.close(descriptor)


def _end_half_made(name: str) -> None:
    """Sandboxes of the folder that were being set up when their service was killed: nobody has
    recorded them, and bwrap may then wait for ever. Each names the folder, by its arguments or,
    where these were replaced, by what it has mounted."""
    sign = f"/sessions/{name}/".encode()
    for number in filter(str.isdigit, os.listdir("/proc")):
        process = Path("/proc", number)
        try:
            descriptor = os.pidfd_open(int(number))
        except OSError:
            continue
        try:
            if (process / "comm").read_bytes() == b"bwrap\n" and (
                sign in (process / "cmdline").read_bytes()
                or sign in (process / "mountinfo").read_bytes()
            ):
                log.warning("A sandbox that a killed service has left is ended: process %s", number)
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        except OSError:
            pass  # it has ended meanwhile, or belongs to somebody else
        finally:
            os.close(descriptor)


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
