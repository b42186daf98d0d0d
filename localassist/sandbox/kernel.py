"""A kernel that runs one piece of code after the other and keeps its variables between them."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from localassist import clock
from localassist.sandbox import starting
from localassist.sandbox.cell import Cell, Stop, obituary
from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.outputs import CellEnded, CellOutput
from localassist.sandbox.providers.base import Box, Provider
from localassist.sandbox.watchdog import Breach, Watched, watchdog

log = logging.getLogger(__name__)


class Kernel:
    """One kernel in one box. Not for concurrent use: one piece of code at a time."""

    def __init__(
        self,
        started: starting.Started,
        box: Box,
        monotonic: Callable[[], float] = clock.monotonic,
    ) -> None:
        self.limits = box.limits
        """What the next piece of code may use; may be lowered between two."""
        self.has_run = False
        """Whether it was given any code."""
        self._started = started
        self._monotonic = monotonic
        self._cell: Cell | None = None
        self._settling: asyncio.Task[None] | None = None
        self._ended_because: str | None = None
        self._loop = asyncio.get_running_loop()
        self._watched = Watched(
            self.pids, box.data, self._report, started.provisioner.unowned_bytes
        )
        watchdog().add(self._watched)

    @classmethod
    async def start(cls, provider: Provider, box: Box, settings: SandboxSettings) -> Kernel:
        """Raises SandboxUnavailable and KernelStartFailed; nothing is left running then, nor when
        the caller is cancelled."""
        return cls(await starting.start(provider, box, settings), box)

    async def execute(self, code: str) -> AsyncGenerator[CellOutput, None]:
        """Run code: what it prints and shows as it comes, and last how it ended. Raises nothing for
        what the code does. Closing the generator interrupts the code; the kernel can then be used
        again, or is dead if the code would not end."""
        if self._settling is not None:
            await asyncio.wait([self._settling])
        if self._ended_because is not None:
            yield CellEnded("died", obituary(self._ended_because))
            return
        cell = Cell(
            self._started.channels,
            self.limits,
            interrupt=self._interrupt,
            kill=self._kill,
            ended=self._find_end,
            monotonic=self._monotonic,
        )
        self._watched.begin(self.limits)
        watchdog().hurry(self._watched)
        self._cell = cell
        self.has_run = True
        try:
            async with aclosing(cell.outputs(code)) as outputs:
                async for output in outputs:
                    yield output
        finally:
            # A task of its own: it goes on when whoever closes us is cancelled meanwhile.
            self._settling = asyncio.create_task(self._settle(cell))
            await asyncio.shield(self._settling)

    def is_alive(self) -> bool:
        return self._ended_because is None

    def ended_because(self) -> str | None:
        """Why it is gone, to go on from "because"; None while it lives."""
        return self._ended_because

    def pids(self) -> list[int]:
        """Its processes, as the host numbers them."""
        return self._started.provisioner.pids()

    def allow(self, disk_bytes: int, files: int) -> None:
        """So much was put into its folder from outside, which does not count as written by it."""
        self._watched.allow(disk_bytes, files)

    async def check(self) -> bool:
        """Whether it lives, looked at just now."""
        return await self._find_end() is None

    async def close(self, because: str = "it was closed") -> None:
        """End it; nothing of it is left when this returns. May be called again."""
        self._ended_because = self._ended_because or because
        watchdog().remove(self._watched)
        await self._started.close()
        if self._settling is not None:
            await asyncio.wait([self._settling])

    async def _settle(self, cell: Cell) -> None:
        try:
            await cell.settle()
        finally:
            self._cell = None
            self._watched.end()

    async def _interrupt(self) -> None:
        await self._started.provisioner.send_signal(signal.SIGINT)

    async def _kill(self, because: str) -> None:
        self._ended_because = self._ended_because or because
        await self._started.provisioner.kill()

    async def _find_end(self) -> str | None:
        if self._ended_because is None:
            status = await self._started.provisioner.poll()
            if status is not None:
                said = await starting.last_words(self._started.provisioner)
                if self._ended_because is None:
                    self._ended_because = _cause(status, said)
        return self._ended_because

    def _report(self, breach: Breach) -> None:
        """Of the watchdog, in its thread."""
        try:
            self._loop.call_soon_threadsafe(self._stop_for, breach)
        except RuntimeError:
            pass  # the loop is closed, and the kernel with it

    def _stop_for(self, breach: Breach) -> None:
        log.info("a kernel exceeds a limit: %s", breach.because)
        if self._cell is not None and not breach.kills:
            self._cell.stop(Stop("limit", breach.because))
        else:
            self._ended_because = self._ended_because or breach.because
            task = self._loop.create_task(self._started.provisioner.kill())
            task.add_done_callback(lambda done: done.exception())


def _cause(status: int, said: str) -> str:
    """From the exit status of what the sandbox was started with: it passes that of the kernel on,
    128 and the number for one that was killed by a signal."""
    number = -status if status < 0 else status - 128
    causes: dict[int, str] = {
        signal.SIGSEGV: "it crashed (segmentation fault)",
        signal.SIGBUS: "it crashed (bus error)",
        signal.SIGABRT: "it aborted",
        signal.SIGILL: "it crashed (illegal instruction)",
        signal.SIGFPE: "it crashed (arithmetic error)",
        signal.SIGSYS: "it made a forbidden system call",
        signal.SIGXCPU: "it used up its processor time",
        signal.SIGKILL: "it was killed, perhaps for lack of memory",
    }
    cause = causes.get(number, f"the code ended its own process with status {status}")
    if number in (signal.SIGABRT, signal.SIGSEGV) and said:
        cause += f", saying {said[:200]!r}"
    return cause
