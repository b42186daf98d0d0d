"""An interpreter without kernels: what code prints, shows and writes is scripted."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field

from localassist.sandbox.verdict import Verdict
from localassist.services.interpreter import Executed, ExecutionItem, Printed, Shown
from localassist.tools.code_interpreter.base import CodeFile, Ending, Execution

HERE = Verdict("bubblewrap", "strong", ok=True)
NOWHERE = Verdict("bubblewrap", "none", False, ("bwrap was not found.",), "apt install bubblewrap")


@dataclass(frozen=True)
class Cell:
    """What comes of one piece of code. ``hangs``: it never comes to its end. ``raises`` comes after
    everything else."""

    says: tuple[Printed | Shown, ...] = ()
    ending: Ending = "ok"
    files: Mapping[str, str] = field(default_factory=dict)
    hangs: bool = False
    raises: Exception | None = None


def printing(*texts: str, ending: Ending = "ok") -> Cell:
    return Cell(tuple(map(Printed, texts)), ending)


class FakeInterpreter:
    """Answers code with the next of ``cells``. ``ran`` are thread, code, file ids and limits."""

    def __init__(
        self, *cells: Cell, verdict: Verdict = HERE, files: Sequence[CodeFile] = ()
    ) -> None:
        self.cells = deque(cells)
        self.ran: list[tuple[str, str, tuple[str, ...], dict[str, float]]] = []
        self.prepared: list[str] = []
        self.interrupted: list[str] = []
        self.is_hanging = asyncio.Event()
        self._verdict = verdict
        self._files = list(files)

    @property
    def codes(self) -> list[str]:
        return [code for _, code, _, _ in self.ran]

    async def verdict(self) -> Verdict:
        return self._verdict

    def verdict_so_far(self) -> Verdict | None:
        return self._verdict

    def counts(self) -> dict[str, int]:
        return {}

    def prepare(self, thread_id: str, wanted: Mapping[str, float]) -> None:
        self.prepared.append(thread_id)

    async def files(self, project: str, thread_id: str, file_ids: Sequence[str]) -> list[CodeFile]:
        return list(self._files)

    async def execute(
        self,
        project: str,
        thread_id: str,
        code: str,
        *,
        file_ids: Sequence[str],
        wanted: Mapping[str, float],
    ) -> AsyncGenerator[ExecutionItem, None]:
        self.ran.append((thread_id, code, tuple(file_ids), dict(wanted)))
        cell = self.cells.popleft()
        is_over = False
        try:
            for item in cell.says:
                yield item
            if cell.hangs:
                self.is_hanging.set()
                await asyncio.Event().wait()
            if cell.raises is not None:
                raise cell.raises
            logs = "".join(item.text for item in cell.says if isinstance(item, Printed))
            images = tuple(item.file_id for item in cell.says if isinstance(item, Shown))
            is_over = True
            yield Executed(Execution(code, cell.ending, logs, images, dict(cell.files)))
        finally:
            if not is_over:
                self.interrupted.append(code)

    async def drop(self, thread_id: str) -> None:
        pass

    async def close(self) -> None:
        pass
