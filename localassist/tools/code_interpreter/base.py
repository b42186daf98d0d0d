"""What code can read, and what became of code that was run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

DATA_FOLDER = "/mnt/data"
"""The folder of a kernel's own, as code sees it."""

Ending = Literal["ok", "error", "timed_out", "died", "limit"]
"""How a piece of code ended; see ``sandbox.outputs.CellStatus``."""


@dataclass(frozen=True, slots=True)
class CodeFile:
    """A file that code finds under ``/mnt/data``, by its name there. ``head`` is the beginning of
    its text, whole lines, where it is a text such as CSV; None otherwise."""

    name: str
    file_id: str
    size_bytes: int
    head: str | None = None


@dataclass(frozen=True, slots=True)
class Execution:
    """A piece of code that was run. ``logs`` is what it printed, its last value and its traceback,
    with what else happened as a last line. ``images`` are ids of files; ``files`` are those it has
    written or changed, path below ``/mnt/data`` to file id."""

    code: str
    ending: Ending
    logs: str = ""
    images: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        return self.ending != "ok"
