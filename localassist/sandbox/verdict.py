"""What was found out about a way of isolating kernels on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["strong", "reduced", "none"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """``ok``: kernels can be started. ``reasons`` are sentences, why not or with what
    reservation; ``fix_hint`` is what an operator can do, as a command where there is one."""

    provider: str
    level: Level
    ok: bool
    reasons: tuple[str, ...] = ()
    fix_hint: str | None = None
