"""Kernels to compare: those of localassist by provider, and a bare ipykernel as jupyter_client
starts it, in the same Python environment."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import ExitStack, aclosing, asynccontextmanager
from pathlib import Path
from queue import Empty
from typing import Protocol

from benchmarks import common
from localassist.sandbox.choosing import named
from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.environment import Environment, find_environment
from localassist.sandbox.kernel import Kernel
from localassist.sandbox.limits import Limits
from localassist.sandbox.outputs import CellEnded
from localassist.sandbox.process_usage import memory_bytes
from localassist.sandbox.providers import PROVIDERS, Box
from localassist.sandbox.providers.processes import tree
from localassist.sandbox.session_folders import SessionFolders
from localassist.settings import Settings, load_settings

BARE = "bare ipykernel"
LIBRARIES = ("jupyter-client", "pyzmq")
_ASK_AGAIN_SECONDS = 0.25


class Subject(Protocol):
    """A kernel that answers."""

    async def run(self, code: str) -> None:
        """To the end of the code. Raises RuntimeError where it fails."""

    def pids(self) -> list[int]: ...


class OurKernel:
    """As the code interpreter starts and asks it."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    async def run(self, code: str) -> None:
        async with aclosing(self._kernel.execute(code)) as outputs:
            async for output in outputs:
                if isinstance(output, CellEnded) and output.status != "ok":
                    raise RuntimeError(f"{output.status}: {output.notice}")

    def pids(self) -> list[int]:
        return self._kernel.pids()


class BareKernel:
    """Of the same client library, without its fixed wait for a kernel to be ready."""

    def __init__(self, environment: Environment) -> None:
        from jupyter_client.kernelspec import KernelSpec
        from jupyter_client.manager import AsyncKernelManager

        self._manager = AsyncKernelManager()
        program = [str(environment.python), "-m", "ipykernel_launcher", "--log-level=ERROR"]
        argv = [*program, "-f", "{connection_file}"]
        self._manager._kernel_spec = KernelSpec(argv=argv, display_name="bare", language="python")

    async def start(self) -> None:
        await self._manager.start_kernel()
        self._client = self._manager.client()
        self._client.start_channels(hb=False)
        asked = set()
        while True:
            asked.add(self._client.kernel_info())
            try:
                await self._until_idle(asked, _ASK_AGAIN_SECONDS)
                return
            except Empty:
                continue

    async def run(self, code: str) -> None:
        await self._until_idle({self._client.execute(code, store_history=False)}, 600.0)

    async def _until_idle(self, asked: set[str], seconds: float) -> None:
        while True:
            message = await self._client.get_iopub_msg(timeout=seconds)
            if message["parent_header"].get("msg_id") not in asked:
                continue
            if message["msg_type"] == "error":
                raise RuntimeError(message["content"]["evalue"])
            if message["content"].get("execution_state") == "idle":
                return

    def pids(self) -> list[int]:
        return tree(self._manager.provisioner.pid)

    async def close(self) -> None:
        self._client.stop_channels()
        await self._manager.shutdown_kernel(now=True)


class Kernels:
    """Makes them. ``names`` are those of subjects that work on this machine."""

    def __init__(self, *, smoke: bool) -> None:
        self.settings: Settings = load_settings()
        self.sandbox = self.settings.sandbox
        self.environment = find_environment(self.sandbox, self.settings.home)
        self.refused: dict[str, str] = {}
        ours = ["bubblewrap"] if smoke else list(PROVIDERS)
        self.names = [BARE, *filter(self._works, ours)]

    def of(self, name: str) -> SandboxSettings:
        return self.sandbox.model_copy(update={"provider": name})

    @asynccontextmanager
    async def started(self, name: str) -> AsyncIterator[Subject]:
        """Nothing is preloaded."""
        if name == BARE:
            bare = BareKernel(self.environment)
            await bare.start()
            try:
                yield bare
            finally:
                await bare.close()
            return
        settings = self.of(name)
        provider = named(settings)
        with tempfile.TemporaryDirectory() as home, ExitStack() as stack:
            folder = SessionFolders(Path(home)).create(provider.owner_uid())
            stack.callback(folder.remove)
            python, limits = self.environment, Limits.of(settings)
            box = Box(folder.box, folder.data, python.folder, python.python_base, limits)
            kernel = await Kernel.start(provider, box, settings)
            try:
                yield OurKernel(kernel)
            finally:
                await kernel.close()

    def record(self) -> common.Row:
        """What figures of kernels depend on, and which providers did not work here."""
        return {**common.machine(LIBRARIES), "refused": self.refused}

    def _works(self, name: str) -> bool:
        verdict = named(self.of(name)).probe(self.environment)
        if not verdict.ok:
            self.refused[name] = " ".join(verdict.reasons)
        return verdict.ok


def own_memory_mb(subject: Subject) -> float:
    """Of all its processes, pages that several share by their shares (PSS)."""
    return memory_bytes(subject.pids(), 0) / (1 << 20)
