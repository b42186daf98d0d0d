"""The tools a run declares, sorted by who can serve them. Knows the wire form and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from localassist.core import ToolSpec


@dataclass(frozen=True, slots=True)
class Toolbox:
    """``functions`` are executed by the caller. ``unserved`` names declared built-in tools without
    an implementation here: the model is not told about them."""

    functions: tuple[ToolSpec, ...] = ()
    unserved: tuple[str, ...] = ()

    @classmethod
    def from_wire(cls, tools: Sequence[Mapping[str, Any]]) -> Toolbox:
        functions = [_function(tool["function"]) for tool in tools if tool["type"] == "function"]
        unserved = [tool["type"] for tool in tools if tool["type"] != "function"]
        return cls(tuple(functions), tuple(dict.fromkeys(unserved)))


def _function(function: Mapping[str, Any]) -> ToolSpec:
    parameters = function.get("parameters")
    return ToolSpec(
        name=function["name"],
        description=function.get("description") or "",
        parameters={"type": "object", "properties": {}} if parameters is None else parameters,
        strict=bool(function.get("strict")),
    )
