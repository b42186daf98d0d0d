"""What comes out of a piece of code, and how it ended. All of it is untrusted content."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CellStatus = Literal["ok", "error", "timed_out", "died", "limit"]
"""``error`` is an exception of the code's own. ``limit``: it was stopped because it used too much,
the kernel lives. ``died``: the kernel is gone, and its variables with it."""


@dataclass(frozen=True, slots=True)
class Logs:
    """Text that was printed, the value of the last expression, or a traceback, without colours."""

    text: str


@dataclass(frozen=True, slots=True)
class Image:
    """A picture that was shown: ``image/png`` or ``image/jpeg``, its first bytes checked."""

    media_type: Literal["image/png", "image/jpeg"]
    data: bytes

    @property
    def suffix(self) -> str:
        """Of a file that holds it, with the dot."""
        return ".png" if self.media_type == "image/png" else ".jpg"


@dataclass(frozen=True, slots=True)
class CellEnded:
    """Always last. ``notice`` is a sentence for whoever wrote the code when something beside an
    exception happened: what was exceeded, what was lost, what was left out."""

    status: CellStatus
    notice: str | None = None


CellOutput = Logs | Image | CellEnded
