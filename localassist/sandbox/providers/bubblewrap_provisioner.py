"""A kernel under bubblewrap, as jupyter_client wants to hold it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from traitlets import Unicode, default

from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.environment import find_environment
from localassist.sandbox.limits import Limits
from localassist.sandbox.providers import startup
from localassist.sandbox.providers.base import Box
from localassist.sandbox.providers.bubblewrap import sandboxed
from localassist.sandbox.providers.processes import children
from localassist.sandbox.providers.provisioner import (
    POLL_SECONDS,
    BoxProvisioner,
    open_pidfd,
    send_through,
)
from localassist.sandbox.providers.unowned import unowned_bytes
from localassist.sandbox.providers.users import kernel_uid

# Without these, what would be looked at is the machine's.
UNOWNED_IN = {"network-namespace", "pid-namespace", "private-root"}


class BubblewrapProvisioner(BoxProvisioner):
    """bwrap waits outside for the first process of the sandbox, which reaps inside. The kernel is
    that one's first child.

    Also for other programs that start kernels, as ``localassist-bubblewrap`` in a kernelspec, with
    ``{"config": {"environment": "/path"}}`` and, to keep files, ``"data": "/path"``; each kernel
    then has a box below the system's temporary folder."""

    environment = Unicode()
    data = Unicode()

    _info_reader: int | None = None
    _own: tempfile.TemporaryDirectory[str] | None = None

    @default("settings")
    def _default_settings(self) -> SandboxSettings:
        return SandboxSettings()

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        if self.environment and self._own is None:
            self._own = tempfile.TemporaryDirectory(prefix="localassist-kernel-")
            self.box = self._own_box(Path(self._own.name))
        return await super().pre_launch(**kwargs)

    def _own_box(self, folder: Path) -> Box:
        found = find_environment(SandboxSettings(environment=Path(self.environment)), folder)
        data = Path(self.data) if self.data else folder / "data"
        if not self.data:
            uid = kernel_uid(self.settings.uid)
            data.mkdir(mode=0o700)
            if uid is not None:
                os.chown(data, uid, uid)
        return Box(folder, data, found.folder, found.python_base, Limits.of(self.settings))

    def prepare(
        self, connection: Mapping[str, Any], descriptors: Mapping[str, int], held: ExitStack
    ) -> tuple[list[str], tuple[int, ...]]:
        self._info_reader, info = os.pipe2(os.O_CLOEXEC)
        held.callback(os.close, info)
        return sandboxed(
            startup.command(self.box),
            self.box,
            uid=kernel_uid(self.settings.uid),
            files=startup.files(self.box, connection, descriptors),
            info_descriptor=info,
            held=held,
        )

    async def find_kernel(self) -> None:
        assert self._info_reader is not None
        reader, self._info_reader = self._info_reader, None
        info = await asyncio.to_thread(_read_to_end, reader)
        if info:
            pid = json.loads(info)["child-pid"]
            self._root = pid, open_pidfd(pid)
        while await self.poll() is None and self._kernel is None:
            self._kernel = self._pidfd_of_kernel()
            if self._kernel is None:
                await asyncio.sleep(POLL_SECONDS / 10)

    def _pidfd_of_kernel(self) -> int | None:
        if self._root is None:
            return None
        if "pid-namespace" in self.box.without:
            return open_pidfd(self._root[0])
        below = children(self._root[0])
        return open_pidfd(below[0]) if below else None

    def kill_root(self) -> None:
        """Everything ends with the first process inside. It dies with bwrap, too, once it has asked
        for that."""
        if self._root is not None:
            send_through(self._root[1], signal.SIGKILL)

    def unowned_bytes(self) -> int:
        pid = self.root_pid()
        if pid is None or not UNOWNED_IN.isdisjoint(self.box.without):
            return 0
        return unowned_bytes(pid)

    async def cleanup(self, restart: bool = False) -> None:
        if self._root is not None and self._root[1] is not None:
            _reap(self._root[1])
        await super().cleanup(restart)
        if self._info_reader is not None:
            os.close(self._info_reader)
            self._info_reader = None
        if self._own is not None and not restart:
            self._own.cleanup()
            self._own = None


def _read_to_end(descriptor: int) -> bytes:
    """To the end: bwrap that writes to a closed pipe dies."""
    with open(descriptor, "rb") as pipe:
        return pipe.read()


def _reap(pidfd: int) -> None:
    """A service that is process 1 of a container inherits what bwrap leaves behind."""
    try:
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        pass
