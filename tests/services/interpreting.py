"""An interpreter whose kernels are scripted: folders, files and rows are real."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from localassist.runtime import Runtime
from localassist.sandbox.limits import Limits
from localassist.sandbox.outputs import CellEnded, CellOutput, Logs
from localassist.sandbox.verdict import Verdict
from localassist.schemas.threads import ThreadCreate
from localassist.services.interpreter import Executed, ExecutionItem
from localassist.services.sandbox_verdict import RememberedVerdict
from localassist.services.thread_code import ThreadCode
from localassist.storage.blobs import BlobStore
from localassist.storage.database import Database
from localassist.tools.code_interpreter.base import Execution
from tests.runs.conftest import P

Cell = Callable[[Path], "Sequence[CellOutput] | None"]
OK = Verdict("fake", "strong", True)


class FakeKernel:
    """Runs the cell whose name is the code on its folder."""

    def __init__(self, cells: Mapping[str, Cell], data: Path) -> None:
        self._cells = cells
        self._data = data
        self.interrupted = 0
        self.running = 0
        self.allowed = (0, 0)

    def allow(self, disk_bytes: int, files: int) -> None:
        self.allowed = (self.allowed[0] + disk_bytes, self.allowed[1] + files)

    async def execute(self, code: str) -> AsyncGenerator[CellOutput, None]:
        self.running += 1
        assert self.running == 1, "two cells of one kernel overlap"
        try:
            for output in self._cells[code](self._data) or ():
                yield output
                if isinstance(output, CellEnded):
                    return
                await asyncio.sleep(0)
            yield CellEnded("ok")
        except GeneratorExit:
            self.interrupted += 1
            raise
        finally:
            self.running -= 1


class FakeSession:
    def __init__(self, kernel: FakeKernel, data: Path) -> None:
        self.kernel = kernel
        self.data = data
        self.notice: str | None = None
        self.lock = asyncio.Lock()
        self.is_new = True


@dataclass
class FakeSessions:
    """One kernel per key until it is dropped."""

    root: Path
    cells: dict[str, Cell] = field(default_factory=dict)
    sessions: dict[str, FakeSession] = field(default_factory=dict)
    leased: list[Limits] = field(default_factory=list)
    error: Exception | None = None
    made: int = 0

    @asynccontextmanager
    async def lease(self, key: str, limits: Limits) -> AsyncIterator[FakeSession]:
        if self.error is not None:
            raise self.error
        self.leased.append(limits)
        if key not in self.sessions:
            self.made += 1
            data = self.root / f"kernel-{self.made}"
            data.mkdir(parents=True)
            self.sessions[key] = FakeSession(FakeKernel(self.cells, data), data)
        async with self.sessions[key].lock:
            yield self.sessions[key]

    async def drop(self, key: str) -> None:
        self.sessions.pop(key, None)

    async def close(self) -> None:
        self.sessions.clear()

    def counts(self) -> dict[str, int]:
        return {"kernels": len(self.sessions)}


@dataclass
class Bench:
    """An interpreter, its kernels, and a thread."""

    runtime: Runtime
    code: ThreadCode
    sessions: FakeSessions
    thread_id: str
    blobs: BlobStore
    file_ids: list[str] = field(default_factory=list)

    @property
    def data(self) -> Path:
        return self.sessions.sessions[self.thread_id].data

    async def upload(self, filename: str, content: bytes) -> str:
        async def chunks() -> AsyncIterator[bytes]:
            yield content

        file = await self.runtime.files.create(
            P, filename=filename, purpose="assistants", chunks=chunks()
        )
        self.file_ids.append(file.id)
        return file.id

    async def content(self, file_id: str) -> bytes:
        _, chunks = await self.runtime.files.open(P, file_id)
        return b"".join([chunk async for chunk in chunks])

    def items(
        self, cell: str, wanted: Mapping[str, float] | None = None
    ) -> AsyncGenerator[ExecutionItem, None]:
        return self.code.execute(
            P, self.thread_id, cell, file_ids=self.file_ids, wanted=wanted or {}
        )

    async def run(self, cell: Cell, wanted: Mapping[str, float] | None = None) -> Execution:
        """Run a cell once; everything that is printed must add up to the logs."""
        self.sessions.cells["cell"] = cell
        items = [item async for item in self.items("cell", wanted)]
        (ended,) = [item for item in items if isinstance(item, Executed)]
        assert items[-1] is ended
        printed = "".join(item.text for item in items if hasattr(item, "text"))
        assert printed == ended.execution.logs
        return ended.execution


async def make_bench(
    runtime: Runtime, root: Path, database: Database, probe: Callable[[], Verdict] = lambda: OK
) -> Bench:
    sessions = FakeSessions(root)
    blobs = BlobStore(runtime.settings.home / "blobs")
    code = ThreadCode(
        database, blobs, sessions, RememberedVerdict(probe), Limits.of(runtime.settings.sandbox)
    )
    thread = await runtime.threads.create(P, ThreadCreate())
    return Bench(runtime, code, sessions, thread.id, blobs)


def says(*texts: str) -> list[CellOutput]:
    return [Logs(text) for text in texts]
