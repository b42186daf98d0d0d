"""A jupyter_client provisioner for one box: what all providers share.

The kernel's sockets are bound here and inherited, its process is started from a long-lived thread,
its end is that of everything it has started. A provider adds the command and, once the process
runs, which of its descendants the sandbox begins with, and which is the kernel.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
from abc import abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.manager import KernelManager
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase
from traitlets import Instance

from localassist.errors import KernelStartFailed
from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.providers.base import Box
from localassist.sandbox.providers.listeners import Listeners
from localassist.sandbox.providers.processes import LogTail, kill_group, spawn, tree

POLL_SECONDS = 0.02


class BoxProvisioner(KernelProvisionerBase):
    """``sandbox.starting`` gives it box and settings."""

    box: Box = Instance(Box)  # type: ignore[assignment]
    settings: SandboxSettings = Instance(SandboxSettings)  # type: ignore[assignment]

    _process: subprocess.Popen[bytes] | None = None
    _log: LogTail | None = None
    _listeners: Listeners | None = None
    _held: ExitStack | None = None
    _inherited: tuple[int, ...] = ()
    _root: tuple[int, int | None] | None = None
    """The process below which all of the sandbox is: its number on the host, and a descriptor."""
    _kernel: int | None = None
    """A descriptor of the kernel itself."""

    @abstractmethod
    def prepare(
        self, connection: Mapping[str, Any], descriptors: Mapping[str, int], held: ExitStack
    ) -> tuple[list[str], tuple[int, ...]]:
        """The command and the descriptors it inherits, beside the sockets. ``held`` is closed as
        soon as the process was started, or was not. Raises SandboxUnavailable."""

    def host_environment(self) -> Mapping[str, str]:
        """Variables of the process that sets the sandbox up, outside of it."""
        return os.environ if "clean-environment" in self.box.without else {}

    @abstractmethod
    async def find_kernel(self) -> None:
        """The process runs: find out ``_root`` and ``_kernel``. Returns, too, when it ended
        meanwhile."""

    def root_pid(self) -> int | None:
        """The process below which all of the sandbox is; None when it has ended."""
        if self._root is None:
            return None
        pid, pidfd = self._root
        return None if pidfd is None or has_ended(pidfd) else pid

    def pids(self) -> list[int]:
        """Processes of the sandbox, as the host numbers them."""
        root = self.root_pid()
        return [] if root is None else tree(root)

    def unowned_bytes(self) -> int:
        """Memory of the sandbox that none of its processes shows; 0 where that is not known."""
        return 0

    def log_text(self, wait_seconds: float = 0.0) -> str:
        """The end of what was written outside of cells: why a start failed, how a kernel crashed.
        Waits for more only where the processes are known to be dying."""
        return "" if self._log is None else self._log.text(wait_seconds)

    @property
    def has_process(self) -> bool:
        return self._process is not None

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Bind the sockets, make the command. Nothing of ``kwargs`` is used: neither variables nor
        arguments of the service's come in."""
        await self.cleanup(restart=True)
        self._listeners = Listeners(self.box.folder)
        self.connection_info = self._connection(self._listeners)
        descriptors = self._listeners.descriptors()
        with ExitStack() as held:
            command, further = self.prepare(self.connection_info, descriptors, held)
            self._held = held.pop_all()
        self._inherited = (*descriptors.values(), *further)
        return {"cmd": command}

    def _connection(self, listeners: Listeners) -> KernelConnectionInfo:
        assert isinstance(self.parent, KernelManager)
        own = self.parent.get_connection_info()
        connection: KernelConnectionInfo = {
            "transport": "ipc",
            "ip": listeners.ip,
            "key": own["key"],
            "signature_scheme": own["signature_scheme"],
        }
        connection.update(listeners.ports)  # type: ignore[typeddict-item]
        return connection

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Raises KernelStartFailed when the process ends before there is a kernel."""
        assert self._listeners is not None and self._held is not None
        self._log = LogTail()
        spawned = spawn(cmd, self._log.writer, self._inherited, self.host_environment())
        try:
            self._process = await asyncio.wrap_future(spawned)
        except OSError as error:
            raise KernelStartFailed(f"{cmd[0]} cannot be started: {error}") from error
        except asyncio.CancelledError:
            # Another thread may be in the middle of it, for some milliseconds.
            if not spawned.cancelled():
                self._process = spawned.result()
            raise
        finally:
            self._log.close_writer()
            self._held.close()
            self._listeners.handed_over()
        try:
            await self.find_kernel()
        except BaseException:
            # Also where whoever waits for it gave up: a half made sandbox can hang for ever.
            await self.kill()
            raise
        if self._process.poll() is not None:
            said = self.log_text(wait_seconds=1.0) or f"exit status {self._process.returncode}"
            raise KernelStartFailed(f"the sandbox could not be set up: {said}")
        return self.connection_info

    async def poll(self) -> int | None:
        return 0 if self._process is None else self._process.poll()

    async def wait(self) -> int | None:
        """Until all of the sandbox has ended."""
        if self._process is None:
            return 0
        process = self._process
        while True:
            status = process.poll()
            if status is not None:
                if self.root_pid() is None:
                    break
                self.kill_root()
            await asyncio.sleep(POLL_SECONDS)
        self._process = None
        return status

    async def send_signal(self, signum: int) -> None:
        """SIGINT goes to the kernel, everything else ends the sandbox: there is nobody inside to
        whom another signal would mean something."""
        if self._process is None or self._process.poll() is not None:
            return
        if signum == signal.SIGINT:
            send_through(self._kernel, signum)
        elif signum != 0:
            await self.kill()

    async def kill(self, restart: bool = False) -> None:
        if self._process is not None:
            kill_group(self._process)
            self.kill_root()

    def kill_root(self) -> None:
        """Where the end of the process that was started is not the end of the sandbox for sure."""
        return

    async def terminate(self, restart: bool = False) -> None:
        await self.kill(restart)

    async def cleanup(self, restart: bool = False) -> None:
        if self._held is not None:
            self._held.close()
        if self._listeners is not None:
            self._listeners.close()
            self._listeners = None
        root = None if self._root is None else self._root[1]
        for descriptor in (root, self._kernel):
            if descriptor is not None:
                os.close(descriptor)
        self._root = self._kernel = None

    def resolve_path(self, path: str) -> str | None:
        """Nothing outside is named by a path inside."""
        return None


def send_through(pidfd: int | None, signum: int) -> None:
    """A signal by a descriptor of the process: it cannot reach another one that has taken over the
    number. Nothing where the process is gone or was never found."""
    if pidfd is None:
        return
    try:
        signal.pidfd_send_signal(pidfd, signum)
    except ProcessLookupError:
        pass


def open_pidfd(pid: int) -> int | None:
    """None when it is gone."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def has_ended(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))
