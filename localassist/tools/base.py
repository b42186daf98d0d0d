"""The tools a run declares, sorted by who can serve them. Knows the wire form and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from localassist.core import ToolSpec
from localassist.schemas.tools import function_spec


@dataclass(frozen=True, slots=True)
class Toolbox:
    """``functions`` are executed by the caller; ``positions`` are their places among all tools.
    ``unserved`` names declared built-in tools without an implementation here: the model is not
    told about them."""

    functions: tuple[ToolSpec, ...] = ()
    positions: tuple[int, ...] = ()
    unserved: tuple[str, ...] = ()

    @classmethod
    def from_wire(cls, tools: Sequence[Mapping[str, Any]]) -> Toolbox:
        positions = [at for at, tool in enumerate(tools) if tool["type"] == "function"]
        functions = [function_spec(tools[at]["function"]) for at in positions]
        unserved = [tool["type"] for tool in tools if tool["type"] != "function"]
        return cls(tuple(functions), tuple(positions), tuple(dict.fromkeys(unserved)))
