"""Where a case is played: a kernel to abuse, a neighbour that must not notice, bait on the host."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from localassist.sandbox.abuse.bait import Bait
from localassist.sandbox.abuse.case import Finding, NoAnswer, source
from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.kernel import Kernel
from localassist.sandbox.limits import Limits
from localassist.sandbox.outputs import CellEnded, CellOutput, Image, Logs
from localassist.sandbox.providers import Box, Provider

PRELUDE = Path(__file__).with_name("prelude.py")
PATIENCE_SECONDS = 60.0
"""How long a kernel that does no more than add numbers may take: another process may be busy."""
MISTAKES = ("NameError", "SyntaxError", "AttributeError", "TypeError", "IndexError", "KeyError")


@dataclass(frozen=True, slots=True)
class Cell:
    """What a piece of code gave. ``grown_bytes``: how much the memory of this process, which read
    it all, was above where it began, at most."""

    pieces: tuple[CellOutput, ...]
    text: str
    images: tuple[Image, ...]
    ended: CellEnded
    seconds: float
    grown_bytes: int

    @property
    def summary(self) -> str:
        """How it ended, in one line."""
        return (
            f"{self.ended.status}: {self.ended.notice}" if self.ended.notice else self.ended.status
        )


class Room:
    """A kernel with its folder on the host."""

    def __init__(self, kernel: Kernel, box: Box) -> None:
        self.kernel = kernel
        self.box = box

    async def cell(self, code: str) -> Cell:
        """Run code to its end, whatever comes of it."""
        began = time.monotonic()
        pieces: list[CellOutput] = []
        async with _memory_watched() as grown:
            async with contextlib.aclosing(self.kernel.execute(source(code))) as outputs:
                async for output in outputs:
                    pieces.append(output)
        ended = pieces[-1]
        if not isinstance(ended, CellEnded):
            raise NoAnswer(f"the last output is {ended!r}")
        return Cell(
            pieces=tuple(pieces),
            text="".join(piece.text for piece in pieces if isinstance(piece, Logs)),
            images=tuple(piece for piece in pieces if isinstance(piece, Image)),
            ended=ended,
            seconds=time.monotonic() - began,
            grown_bytes=grown[0],
        )

    async def answers(self) -> bool:
        """Whether the kernel still adds numbers."""
        number = secrets.randbelow(10**9)
        if not self.kernel.is_alive():
            return False
        try:
            cell = await asyncio.wait_for(self.cell(f"print({number} + 1)"), PATIENCE_SECONDS)
        except (asyncio.TimeoutError, NoAnswer):
            return False
        return str(number + 1) in cell.text

    def empty(self) -> None:
        """Leave nothing in the data folder."""
        for entry in os.scandir(self.box.data):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                os.unlink(entry.path)


@contextlib.asynccontextmanager
async def _memory_watched() -> AsyncIterator[list[int]]:
    """A list whose only number is how far the resident memory of this process has risen."""
    before = _resident_bytes()
    grown = [0]

    async def watch() -> None:
        while True:
            grown[0] = max(grown[0], _resident_bytes() - before)
            await asyncio.sleep(0.02)

    task = asyncio.create_task(watch())
    try:
        yield grown
    finally:
        grown[0] = max(grown[0], _resident_bytes() - before)
        task.cancel()


def _resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as stream:
        return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Lodgings:
    """Makes rooms: which provider, with what."""

    provider: Provider
    settings: SandboxSettings
    folder: Path
    environment: Path
    python_base: Path
    limits: Limits

    @contextlib.asynccontextmanager
    async def room(
        self, limits: Limits | None = None, *, missing: frozenset[str] = frozenset()
    ) -> AsyncGenerator[Room, None]:
        """A fresh kernel, gone with all it left when the block ends."""
        folder = self.folder / secrets.token_hex(4)
        data = folder / "data"
        data.mkdir(parents=True, mode=0o700)
        # Whoever could see the folder might enter it: isolation is to be tested, not its mode.
        folder.chmod(0o711)
        uid = self.provider.owner_uid()
        if uid is not None:
            os.chown(data, uid, uid)
        box = Box(
            folder=folder / "box",
            data=data,
            environment=self.environment,
            python_base=self.python_base,
            limits=limits or self.limits,
            without=missing,
        )
        box.folder.mkdir(mode=0o700)
        try:
            kernel = await Kernel.start(self.provider, box, self.settings)
            try:
                yield Room(kernel, box)
            finally:
                await kernel.close()
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Scene:
    """What a case has to work with. ``room`` is where its code runs."""

    room: Room
    neighbour: Room
    bait: Bait
    lodgings: Lodgings
    code: str

    @property
    def data(self) -> Path:
        return self.room.box.data

    @property
    def limits(self) -> Limits:
        return self.room.box.limits

    async def cell(self, code: str | None = None) -> Cell:
        """Raises NoAnswer where the code is wrong in itself, which stops no attack."""
        cell = await self.room.cell(self.code if code is None else code)
        if cell.ended.status == "error" and any(name in cell.text for name in MISTAKES):
            raise NoAnswer(cell.text[-300:])
        return cell

    @contextlib.asynccontextmanager
    async def another_room(self) -> AsyncGenerator[Room, None]:
        """A second kernel of the same kind, as the next thread would get it."""
        async with self.lodgings.room(self.limits, missing=self.room.box.without) as room:
            await prepare(room, self.bait)
            yield room


async def prepare(room: Room, bait: Bait) -> None:
    """Say what there is to reach, and how to say that it was."""
    cell = await room.cell(bait.literal() + PRELUDE.read_text("utf-8"))
    if cell.ended.status != "ok":
        raise NoAnswer(f"the prelude ended with {cell.summary}: {cell.text[-300:]}")


async def still_there(pids: set[int]) -> set[int]:
    """Those of the processes that do not end within some seconds."""

    def left() -> set[int]:
        return {pid for pid in pids if os.path.exists(f"/proc/{pid}")}

    for _ in range(100):
        if not left():
            break
        await asyncio.sleep(0.05)
    return left()


def said(cell: Cell) -> Finding:
    """What the code itself says. A cell that was ended from outside before it said anything was
    stopped by that."""
    lines = [line.partition("abuse:")[2] for line in cell.text.splitlines() if "abuse:" in line]
    for verdict, succeeded in (("reached", True), ("absent", None), ("stopped", False)):
        for line in lines:
            if line.startswith(f"{verdict}:"):
                return Finding(succeeded, line.partition(":")[2])
    if cell.ended.status in ("timed_out", "died", "limit"):
        return Finding(False, cell.summary)
    raise NoAnswer(f"{cell.summary}; {cell.text[-300:]}")
