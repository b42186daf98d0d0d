"""A kernel in a container, as jupyter_client wants to hold it."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, ClassVar

from localassist.sandbox.providers.container import Container, Facts, confinement, new_name
from localassist.sandbox.providers.container_meeting import Meeting
from localassist.sandbox.providers.provisioner import POLL_SECONDS, BoxProvisioner
from localassist.sandbox.providers.startup import INSIDE
from localassist.sandbox.providers.supervised import SupervisedProvisioner
from localassist.sandbox.providers.supervision import peer_pid, write_files


class ContainerProvisioner(SupervisedProvisioner):
    """The process that was started is the engine's program; the supervisor is process 1 of the
    container, somewhere else among the host's processes."""

    provider: ClassVar[Container]
    _facts: Facts | None = None
    _meeting: Meeting | None = None
    _container = ""

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        self._facts = await asyncio.to_thread(
            self.provider.facts, self.box.environment, self.box.python_base
        )
        return await super().pre_launch(**kwargs)

    def prepare(
        self, connection: Mapping[str, Any], descriptors: Mapping[str, int], held: ExitStack
    ) -> tuple[list[str], tuple[int, ...]]:
        assert self._facts is not None
        box = self.box
        if not self._facts.keep_id:
            # Without a user namespace it counts what the user runs in all containers.
            box = replace(box, without=box.without | {"rlimit-nproc"})
        files = self.tell(box, INSIDE, confinement(box.without), connection, descriptors)
        self._meeting = Meeting(self.box.folder / "guest")
        write_files(self._meeting.folder, files)
        self._container = new_name()
        return self.provider.command(box, self._facts, self._meeting, self._container), ()

    async def supervisor(self) -> tuple[socket.socket, int] | None:
        assert self._meeting is not None
        accept = asyncio.create_task(asyncio.get_running_loop().sock_accept(self._meeting.listener))
        try:
            while not accept.done() and await self.poll() is None:
                await asyncio.wait([accept], timeout=POLL_SECONDS)
            if not accept.done():
                return None
            connection = accept.result()[0]
        finally:
            accept.cancel()
            self._meeting.close()
        return connection, peer_pid(connection)

    async def kill(self, restart: bool = False) -> None:
        """Process 1 takes the whole container with it. Before there is one, the engine is asked to
        remove what it may have made."""
        if self._root is not None and self._root[1] is not None:
            try:
                signal.pidfd_send_signal(self._root[1], signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass  # gone already; or the engine's user, and then the closed socket ends it
        await super().kill(restart)
        if self._root is None and self._container:
            remove = ["rm", "--force", self._container]
            await asyncio.to_thread(self.provider.engine.run, remove)

    async def cleanup(self, restart: bool = False) -> None:
        await super().cleanup(restart)
        if self._meeting is not None:
            self._meeting.close()
            self._meeting = None


def provisioner_for(provider: Container) -> type[BoxProvisioner]:
    """jupyter_client makes provisioners by class alone."""
    name = f"{type(provider).__name__}Provisioner"
    return type(name, (ContainerProvisioner,), {"provider": provider})
