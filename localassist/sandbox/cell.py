"""One piece of code that runs: what it puts out, and when and why it is stopped.

The kernel's word is not taken for anything but what is shown: it may send what it likes, as much as
it likes, or nothing. Time, output and death are judged here; memory and disk by the watchdog.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

from localassist.sandbox import wire
from localassist.sandbox.cell_outputs import CellOutputs
from localassist.sandbox.channels import Channels
from localassist.sandbox.connection import Connection, ConnectionLost
from localassist.sandbox.limits import Limits
from localassist.sandbox.outputs import CellEnded, CellOutput, CellStatus

GRACE_SECONDS = 2.0
"""How long code may take to end after it was interrupted."""
INTERRUPT_AGAIN_SECONDS = 1.0
POLL_SECONDS = 0.25
SILENCE_SECONDS = 1.0
"""After the reply, how long iopub may say nothing before the code counts as ended."""
ECHO_SECONDS = 10.0
"""After the reply, how long iopub may go on at all."""
MAX_BYTES = 512 * 1024 * 1024
"""Received for one piece of code, kept or not; more than any honest code puts out."""
MIN_TEXT_BYTES = 1024 * 1024
"""Of the text of a large message that is read at least."""
AT_ONCE = 32
"""Messages that are read before others get their turn."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Why code is stopped; ``because`` goes on from "because"."""

    status: CellStatus
    because: str


def obituary(because: str) -> str:
    return f"The kernel was ended, because {because}; its variables are lost."


class Cell:
    """Runs once. ``interrupt`` sends the kernel a SIGINT; ``kill`` ends it for a reason; ``ended``
    says why it is gone, or None while it lives."""

    def __init__(
        self,
        channels: Channels,
        limits: Limits,
        *,
        interrupt: Callable[[], Awaitable[None]],
        kill: Callable[[str], Awaitable[None]],
        ended: Callable[[], Awaitable[str | None]],
        monotonic: Callable[[], float],
    ) -> None:
        self._channels = channels
        self._limits = limits
        self._interrupt = interrupt
        self._kill = kill
        self._ended = ended
        self._monotonic = monotonic
        self._outputs = CellOutputs(limits)
        self._arrived: asyncio.Queue[tuple[Connection, list[list[bytes]]]] = asyncio.Queue(1)
        self._tasks: list[asyncio.Task[None]] = []
        self._request_id = ""
        self._began_at = 0.0
        self._bytes_before = 0
        self._skipped_before = 0
        self._shell_skipped_before = 0
        self._replied = False
        self._idle = False
        self._lost = False
        self._replied_at = 0.0
        self._heard_at = 0.0
        self._polled_at = 0.0
        self._stop: Stop | None = None
        self._stopped_at = 0.0
        self._interrupts = 0
        self._dead: str | None = None

    @property
    def is_over(self) -> bool:
        """The kernel is done with the code, or gone. It is done when it has replied and said that
        it is idle; the latter can be lost in a flood."""
        if self._dead is not None:
            return True
        if not self._replied:
            return self._reply_was_too_large and self._idle
        now = self._monotonic()
        is_silent = now - self._heard_at > SILENCE_SECONDS
        return self._idle or is_silent or now - self._replied_at > ECHO_SECONDS

    async def outputs(self, code: str) -> AsyncGenerator[CellOutput, None]:
        """All outputs, then how it ended. The caller closes it and then awaits ``settle``."""
        self._begin(code)
        while not self.is_over:
            portion = await self._next_portion()
            if portion is not None:
                connection, messages = portion
                for number, frames in enumerate(messages, 1):
                    for output in await self._read(connection, frames):
                        yield output
                    if number % AT_ONCE == 0:
                        await asyncio.sleep(0)
            await self._look_after()
        for output in self._outputs.end():
            yield output
        yield self._ending()

    def stop(self, stop: Stop) -> None:
        """Have the code interrupted; the first reason counts."""
        if self._stop is None:
            self._stop, self._stopped_at = stop, self._monotonic()

    async def settle(self) -> None:
        """Until the code has ended, in one way or the other, and nothing is read any more."""
        try:
            while self._request_id and not self.is_over:
                self.stop(Stop("limit", "nobody waits for it any more"))
                portion = await self._next_portion()
                if portion is not None:
                    connection, messages = portion
                    for frames in messages:
                        await self._read(connection, frames)
                await self._look_after()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, code: str) -> None:
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
        }
        self._request_id, frames = self._channels.request("execute_request", content)
        self._began_at = self._heard_at = self._polled_at = self._monotonic()
        self._bytes_before = self._bytes()
        self._skipped_before = self._skipped()
        self._shell_skipped_before = self._channels.shell.skipped
        self._tasks = [
            asyncio.create_task(self._pump(self._channels.shell)),
            asyncio.create_task(self._pump(self._channels.iopub)),
            asyncio.create_task(self._send(frames)),
        ]

    async def _send(self, frames: list[bytes]) -> None:
        try:
            await self._channels.shell.send(frames)
        except ConnectionLost:
            self._lost = True

    async def _pump(self, connection: Connection) -> None:
        """One portion after the other, the next when the last was taken."""
        try:
            while True:
                skipped = connection.skipped
                messages = await connection.receive()
                if messages or connection.skipped > skipped:
                    await self._arrived.put((connection, messages))
        except ConnectionLost:
            self._lost = True
            await self._arrived.put((connection, []))

    @property
    def _reply_was_too_large(self) -> bool:
        """As with an endless traceback."""
        return self._channels.shell.skipped > self._shell_skipped_before

    def _bytes(self) -> int:
        return self._channels.shell.received_bytes + self._channels.iopub.received_bytes

    def _skipped(self) -> int:
        return self._channels.shell.skipped + self._channels.iopub.skipped

    async def _next_portion(self) -> tuple[Connection, list[list[bytes]]] | None:
        """None when it is time to look after something else."""
        try:
            return await asyncio.wait_for(self._arrived.get(), POLL_SECONDS)
        except asyncio.TimeoutError:
            return None

    async def _read(self, connection: Connection, frames: list[bytes]) -> list[CellOutput]:
        if wire.parent_of(frames) != self._request_id:
            return []
        self._heard_at = self._monotonic()
        is_large = wire.is_large(frames)
        try:
            if is_large:
                message = await asyncio.to_thread(self._parse_large, frames)
            else:
                message = wire.parse(frames, self._channels.key)
        except wire.Unreadable:
            self._outputs.skip()
            return []
        self._outputs.leave_out(message.left_out)
        if connection is self._channels.shell:
            return self._reply(message)
        if message.message_type == "status":
            self._idle = self._idle or message.content.get("execution_state") == "idle"
            return []
        if is_large:
            return list(
                await asyncio.to_thread(self._outputs.read, message.message_type, message.content)
            )
        return list(self._outputs.read(message.message_type, message.content))

    def _parse_large(self, frames: list[bytes]) -> wire.Message:
        """In a thread."""
        text_bytes = max(MIN_TEXT_BYTES, 4 * self._limits.output_characters)
        return wire.parse_large(frames, self._channels.key, text_bytes)

    def _reply(self, message: wire.Message) -> list[CellOutput]:
        if message.message_type != "execute_reply" or self._replied:
            return []
        self._replied, self._replied_at = True, self._monotonic()
        if message.content.get("status") == "error" and self._outputs.error_name is None:
            return list(self._outputs.read("error", message.content))  # iopub has lost it
        return []

    async def _look_after(self) -> None:
        """Whether the kernel lives, and whether the code has to stop."""
        now = self._monotonic()
        skipped, self._skipped_before = self._skipped() - self._skipped_before, self._skipped()
        if skipped:
            self._outputs.skip(skipped)
        if self._lost or now - self._polled_at > POLL_SECONDS:
            self._polled_at = now
            self._dead = await self._ended()
            if self._dead is None and self._lost:
                # Sockets are closed a moment before a dying process has ended.
                await asyncio.sleep(POLL_SECONDS)
                await self._end_kernel("the code closed the kernel's connections")
        if self._dead is not None or self.is_over:
            return
        self._stop_for_limits(now)
        if self._stop is not None:
            await self._pursue(self._stop, now)

    def _stop_for_limits(self, now: float) -> None:
        if now - self._began_at > self._limits.cell_seconds:
            self.stop(
                Stop("timed_out", f"it ran for {self._limits.cell_seconds:g} seconds, the limit")
            )
        elif self._outputs.is_flood or self._bytes() - self._bytes_before > MAX_BYTES:
            self.stop(Stop("limit", "it put out far more than can be shown"))

    async def _pursue(self, stop: Stop, now: float) -> None:
        """Interrupt, once more, kill."""
        waited = now - self._stopped_at
        if waited > GRACE_SECONDS:
            await self._end_kernel(f"{stop.because}, and it did not end when it was interrupted")
        elif self._interrupts < 1 + (waited > INTERRUPT_AGAIN_SECONDS):
            self._interrupts += 1
            await self._interrupt()

    async def _end_kernel(self, because: str) -> None:
        self._dead = await self._ended()
        if self._dead is None:
            await self._kill(because)
            self._dead = because

    def _ending(self) -> CellEnded:
        status: CellStatus = "ok"
        sentences = []
        if self._dead is not None:
            status = "died"
            sentences.append(obituary(self._dead))
        elif self._stop is not None:
            status = self._stop.status
            sentences.append(
                f"The code was interrupted, because {self._stop.because}; variables are kept."
            )
        elif self._outputs.error_name is not None or not self._replied:
            status = "error"
            if self._outputs.error_name == "MemoryError":
                sentences.append(f"The code may use {self._limits.memory_mb:,} MB of memory.")
        notice = " ".join(sentences + self._outputs.left_out())
        return CellEnded(status, notice or None)
