"""Code of a thread: its kernel, the files it finds and leaves, what it prints and shows.

Runs speak to kernels only through this. Knows nothing of models, steps or messages.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from localassist.sandbox.verdict import Verdict
from localassist.tools.code_interpreter.base import CodeFile, Execution


@dataclass(frozen=True, slots=True)
class Printed:
    """More text of the logs."""

    text: str


@dataclass(frozen=True, slots=True)
class Shown:
    """An image that was shown, already stored as a file."""

    file_id: str


@dataclass(frozen=True, slots=True)
class Executed:
    """Always last."""

    execution: Execution


ExecutionItem = Printed | Shown | Executed


class Interpreter(Protocol):
    """Runs code for threads."""

    async def verdict(self) -> Verdict:
        """Whether code can be run here at all; remembered once it was found out."""
        ...

    def verdict_so_far(self) -> Verdict | None:
        """What is known of that without waiting; asking makes it known soon."""
        ...

    def counts(self) -> Mapping[str, int]:
        """Kernels now (``busy``, ``idle``, ``warm``), and what has happened to those there were
        (``started``, ``evicted``, ``expired``, ``died``)."""
        ...

    def prepare(self, thread_id: str, wanted: Mapping[str, float]) -> None:
        """Start the thread's kernel, if it has none, in the background: code is about to come.
        ``wanted`` are lower limits, by field of ``sandbox.limits.Limits``."""
        ...

    async def files(self, project: str, thread_id: str, file_ids: Sequence[str]) -> list[CodeFile]:
        """What code of the thread will find: these files, and those its earlier code has written.
        Files that are gone are left out."""
        ...

    def execute(
        self,
        project: str,
        thread_id: str,
        code: str,
        *,
        file_ids: Sequence[str],
        wanted: Mapping[str, float],
    ) -> AsyncGenerator[ExecutionItem, None]:
        """Run code in the thread's kernel, with the files in place. Closing the iterator interrupts
        the code. Raises SandboxUnavailable and KernelStartFailed; whatever the code does is in what
        comes out."""
        ...

    async def drop(self, thread_id: str) -> None:
        """The thread is gone: end its kernel."""
        ...

    async def close(self) -> None:
        """End all kernels."""
        ...
