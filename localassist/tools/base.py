"""The tools a run declares, sorted by who can serve them. Knows the wire form and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from localassist.core import ToolSpec
from localassist.schemas.tools import function_spec

DEFAULT_RESULTS = 20


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """What a ``file_search`` tool says of its results: at most so many passages, none below the
    score."""

    max_results: int = DEFAULT_RESULTS
    score_threshold: float = 0.0

    @classmethod
    def from_wire(cls, tool: Mapping[str, Any]) -> SearchOptions:
        options = tool.get("file_search") or {}
        ranking = options.get("ranking_options") or {}
        return cls(
            options.get("max_num_results") or DEFAULT_RESULTS, ranking.get("score_threshold", 0.0)
        )


@dataclass(frozen=True, slots=True)
class Toolbox:
    """``functions`` are executed by the caller; ``positions`` are their places among all tools.
    ``file_search`` is set when it is declared; the first of several counts.
    ``code_interpreter``: it is declared."""

    functions: tuple[ToolSpec, ...] = ()
    positions: tuple[int, ...] = ()
    file_search: SearchOptions | None = None
    code_interpreter: bool = False

    @classmethod
    def from_wire(cls, tools: Sequence[Mapping[str, Any]]) -> Toolbox:
        positions = [at for at, tool in enumerate(tools) if tool["type"] == "function"]
        functions = [function_spec(tools[at]["function"]) for at in positions]
        searches = [tool for tool in tools if tool["type"] == "file_search"]
        return cls(
            tuple(functions),
            tuple(positions),
            SearchOptions.from_wire(searches[0]) if searches else None,
            any(tool["type"] == "code_interpreter" for tool in tools),
        )
