"""Kernels below ``sandbox/supervise.py``: what providers share whose isolation has no process 1
that ends with the service.

The supervisor is handed the plan and the kernel's sockets over a unix socket, and answers with one
byte once the kernel was forked. When that socket closes, it kills everything.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from abc import abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from localassist.sandbox.providers import startup
from localassist.sandbox.providers.base import Box
from localassist.sandbox.providers.local_view import View, view_of
from localassist.sandbox.providers.processes import children
from localassist.sandbox.providers.provisioner import BoxProvisioner, open_pidfd
from localassist.sandbox.providers.startup import Places
from localassist.sandbox.providers.supervision import (
    FIRST_DESCRIPTOR,
    Confinement,
    head,
    local_command,
    plan,
    write_files,
)
from localassist.sandbox.providers.users import kernel_uid


class SupervisedProvisioner(BoxProvisioner):
    """A subclass's ``prepare`` calls ``tell`` and starts the supervisor."""

    _supervisor: socket.socket | None = None
    _told: bytes = b""
    _sockets: tuple[int, ...] = ()

    @abstractmethod
    async def supervisor(self) -> tuple[socket.socket, int] | None:
        """The socket to the supervisor and its process, as the host numbers it. None when the
        process that was to start it has ended before."""

    def tell(
        self,
        box: Box,
        places: Places,
        how: Confinement,
        connection: Mapping[str, Any],
        descriptors: Mapping[str, int],
    ) -> dict[str, bytes]:
        """Keep what the supervisor is to be told. Returns the files that the kernel needs in
        ``places.guest``."""
        numbers = {channel: FIRST_DESCRIPTOR + n for n, channel in enumerate(descriptors)}
        # Ours: those of the caller are closed as soon as the process was started.
        self._sockets = tuple(os.dup(descriptor) for descriptor in descriptors.values())
        self._told = plan(
            how,
            startup.command(box, places),
            startup.environment(box, places),
            places.data,
            list(numbers.values()),
        )
        return startup.files(box, connection, numbers, places)

    async def find_kernel(self) -> None:
        loop = asyncio.get_running_loop()
        answer = b""
        try:
            found = await self.supervisor()
            if found is None:
                return
            self._supervisor, pid = found
            self._root = pid, open_pidfd(pid)
            self._supervisor.setblocking(False)
            self._supervisor.sendmsg(*head(self._told, self._sockets))
            await loop.sock_sendall(self._supervisor, self._told)
            answer = await loop.sock_recv(self._supervisor, 1)
        except ConnectionError:
            pass
        finally:
            self._close_sockets()
        if answer and self._root is not None:
            below = children(self._root[0])
            self._kernel = open_pidfd(below[0]) if below else None
            return
        assert self._process is not None
        await asyncio.to_thread(self._process.wait)

    async def send_signal(self, signum: int) -> None:
        if signum in (0, signal.SIGINT):
            await super().send_signal(signum)
        else:
            await self.kill()

    async def kill(self, restart: bool = False) -> None:
        """The supervisor kills everything as soon as it is alone. Where there is none yet, there is
        only the process that was to start it."""
        if self._supervisor is None:
            await super().kill(restart)
        else:
            self._supervisor.close()

    async def cleanup(self, restart: bool = False) -> None:
        await super().cleanup(restart)
        self._close_sockets()
        if self._supervisor is not None:
            self._supervisor.close()
            self._supervisor = None

    def _close_sockets(self) -> None:
        for descriptor in self._sockets:
            os.close(descriptor)
        self._sockets = ()


class LocalProvisioner(SupervisedProvisioner):
    """The supervisor is a process of this machine; the kernel is confined by nothing else than what
    ``confinement`` says."""

    _ours: socket.socket | None = None
    _kept: ExitStack | None = None

    def confinement(self, view: View, uid: int | None) -> Confinement:
        return Confinement(uid=uid, mounts=view.mounts)

    def prepare(
        self, connection: Mapping[str, Any], descriptors: Mapping[str, int], held: ExitStack
    ) -> tuple[list[str], tuple[int, ...]]:
        uid = kernel_uid(self.settings.uid)
        self._kept = ExitStack()
        view = view_of(self.box, uid, self._kept)
        # Outside a user namespace it counts whatever the same user runs on the machine.
        box = replace(self.box, without=self.box.without | {"rlimit-nproc"})
        how = self.confinement(view, uid)
        write_files(view.guest, self.tell(box, view.places, how, connection, descriptors))
        self._ours, theirs = socket.socketpair()
        held.enter_context(theirs)
        return local_command(theirs.fileno()), (theirs.fileno(),)

    async def supervisor(self) -> tuple[socket.socket, int] | None:
        assert self._ours is not None and self._process is not None
        return self._ours, self._process.pid

    async def cleanup(self, restart: bool = False) -> None:
        await super().cleanup(restart)
        if self._ours is not None:
            self._ours.close()
            self._ours = None
        if self._kept is not None:
            await asyncio.to_thread(self._kept.close)  # code may have filled it
            self._kept = None
