"""A kernel with a folder of its own, started and taken down."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from localassist.errors import KernelStartFailed, SandboxUnavailable
from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.limits import Limits
from localassist.sandbox.outputs import CellOutput
from localassist.sandbox.session_folders import SessionFolder, SessionFolders

if TYPE_CHECKING:
    from localassist.sandbox.environment import Environment
    from localassist.sandbox.providers.base import Provider

log = logging.getLogger(__name__)


class RunningKernel(Protocol):
    """See ``sandbox.kernel.Kernel``."""

    limits: Limits

    @property
    def has_run(self) -> bool: ...

    def execute(self, code: str) -> AsyncGenerator[CellOutput, None]: ...

    def allow(self, disk_bytes: int, files: int) -> None: ...

    def ended_because(self) -> str | None: ...

    async def check(self) -> bool: ...

    async def close(self, because: str = ...) -> None: ...


class KernelLauncher(Protocol):
    """See ``Launcher``."""

    async def launch(self, limits: Limits) -> Launched: ...

    async def sweep(self) -> None: ...


class Launched:
    """A kernel and its folder; gone together."""

    def __init__(self, kernel: RunningKernel, folder: SessionFolder) -> None:
        self.kernel = kernel
        self.limits = kernel.limits
        """What it was started with."""
        self._folder = folder

    @property
    def data(self) -> Path:
        return self._folder.data

    async def close(self, because: str) -> None:
        """Nothing of it is left when this returns, also when the caller is cancelled."""
        await asyncio.shield(asyncio.ensure_future(self._close(because)))

    async def _close(self, because: str) -> None:
        try:
            await self.kernel.close(because)
        finally:
            await asyncio.to_thread(self._folder.remove)


class Launcher:
    """Starts kernels as the settings say. What isolates them is tried out before the first one, and
    anew after one that could not be started."""

    def __init__(self, settings: SandboxSettings, home: Path) -> None:
        self._settings = settings
        self._home = home
        self._folders = SessionFolders(home)
        self._chosen: tuple[Provider, Environment] | None = None
        self._choosing = asyncio.Lock()

    async def launch(self, limits: Limits) -> Launched:
        """Raises SandboxUnavailable and KernelStartFailed; nothing is left then, nor when the
        caller is cancelled."""
        from localassist.sandbox.kernel import Kernel
        from localassist.sandbox.providers.base import Box

        provider, environment = await self._provider()
        try:
            folder = await asyncio.to_thread(self._folders.create, provider.owner_uid())
        except OSError as error:
            raise SandboxUnavailable(f"no folder can be made for a kernel: {error}") from error
        box = Box(
            folder.box,
            folder.data,
            environment.folder,
            environment.python_base,
            limits,
            self._settings.preload,
        )
        try:
            kernel = await Kernel.start(provider, box, self._settings)
        except BaseException as error:
            if isinstance(error, KernelStartFailed | SandboxUnavailable):
                self._chosen = None
            await asyncio.shield(asyncio.to_thread(folder.remove))
            raise
        launched = Launched(kernel, folder)
        try:
            await asyncio.to_thread(folder.record, kernel.pids())
        except OSError as error:
            await launched.close("it could not be recorded")
            raise SandboxUnavailable(f"a kernel cannot be recorded: {error}") from error
        except BaseException:
            await launched.close("nobody waits for it any more")
            raise
        return launched

    async def sweep(self) -> None:
        """Remove what killed services have left, as far as that can be done."""
        try:
            swept = await asyncio.to_thread(self._folders.sweep)
        except OSError as error:
            log.warning("What killed services have left cannot be removed: %s", error)
            return
        if swept:
            log.warning("Folders of kernels that killed services have left, removed: %d", swept)

    async def _provider(self) -> tuple[Provider, Environment]:
        async with self._choosing:
            if self._chosen is None:
                from localassist.sandbox.choosing import choose

                self._chosen = await asyncio.to_thread(choose, self._settings, self._home)
            return self._chosen
