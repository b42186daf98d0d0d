"""The code interpreter as a tool: what a model is told of it, what it writes, and what is said of
the result. Runs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localassist.lazy import exports

if TYPE_CHECKING:
    from localassist.tools.code_interpreter.coder import Coder
    from localassist.tools.code_interpreter.plan import Decision, Written

__all__ = ["Coder", "Decision", "Written"]

_HOMES = {
    "Coder": "localassist.tools.code_interpreter.coder",
    "Decision": "localassist.tools.code_interpreter.plan",
    "Written": "localassist.tools.code_interpreter.plan",
}


__getattr__ = exports(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
