"""Processes of a sandbox, seen from the host: started, listened to, counted."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

LOG_BYTES = 64 << 10
# Each read is followed by this rest: what floods the log must not keep the host busy.
REST_SECONDS = 0.05


@functools.cache
def _spawner() -> ThreadPoolExecutor:
    """The one thread that starts sandboxes. They die with their parent, and for the kernel that is
    the thread that started them, so it has to live as long as the service."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="sandbox-spawner")


def spawn(
    command: Sequence[str], log: int, pass_fds: Sequence[int], environment: Mapping[str, str]
) -> Future[subprocess.Popen[bytes]]:
    """Start a process that inherits nothing but ``pass_fds``: no variables beside ``environment``,
    no terminal. Output goes to the descriptor ``log``. The process leads a group of its own."""
    return _spawner().submit(
        subprocess.Popen,
        list(command),
        env=dict(environment),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        close_fds=True,
        pass_fds=tuple(pass_fds),
    )


class LogTail:
    """A pipe for what a sandbox writes outside of its cells; the end of it is kept."""

    def __init__(self) -> None:
        reader, self.writer = os.pipe2(os.O_CLOEXEC)
        self._tail = b""
        self._thread = threading.Thread(
            target=self._read, args=(reader,), name="sandbox-log", daemon=True
        )
        self._thread.start()

    def _read(self, reader: int) -> None:
        with open(reader, "rb", buffering=0) as pipe:
            while piece := pipe.read(LOG_BYTES):
                self._tail = (self._tail + piece)[-LOG_BYTES:]
                time.sleep(REST_SECONDS)

    def close_writer(self) -> None:
        """Ours; the log ends when the last process that holds one is gone. May be called again."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1

    def text(self, wait_seconds: float = 0.0) -> str:
        """What was kept. ``wait_seconds``: for its end, where the processes are known to be
        dying."""
        self._thread.join(wait_seconds)
        return self._tail.decode("utf-8", "replace").strip()


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End what ``spawn`` started, by its group. A process that was not waited for keeps its
    number, so this reaches nobody else."""
    if process.returncode is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            process.kill()


def children(pid: int) -> list[int]:
    """The processes that any thread of ``pid`` has started, oldest first; none when it is gone."""
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", "rb") as file:
                found += map(int, file.read().split())
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def tree(pid: int) -> list[int]:
    """``pid`` and all processes below it, each before its children; empty when it is gone."""
    if not os.path.exists(f"/proc/{pid}"):
        return []
    found = [pid]
    for parent in found:
        found += children(parent)
    return found
