"""A call in the making."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from localassist.core import ToolSpec
from localassist.tools.evidence.words import Span
from localassist.tools.guided.sheet import Filled
from localassist.tools.schema import value_problem

_UNTOLD_GROUNDING = 0.5


@dataclass(slots=True)
class Draft:
    """What each argument of a call is filled with."""

    tool: ToolSpec
    filled: dict[str, Filled] = field(default_factory=dict)

    @property
    def values(self) -> dict[str, Any]:
        """In the order of the schema's properties, then those that it does not name."""
        order = dict.fromkeys([*self.tool.parameters.get("properties", {}), *self.filled])
        return {name: self.filled[name].value for name in order if name in self.filled}

    def problem(self) -> str | None:
        """Why the values do not fit the tool's parameters, None when they do."""
        parameters = {"type": "object", **self.tool.parameters}
        return value_problem(parameters, json.dumps(self.values, ensure_ascii=False))

    @property
    def grounding(self) -> float:
        """How much of what the call requires stands in the question, 0 to 1."""
        required = [n for n in self.tool.parameters.get("required", ()) if n in self.filled]
        known = [self.filled[name].grounding for name in required or self.filled]
        told = [value for value in known if value is not None]
        return sum(told) / len(told) if told else _UNTOLD_GROUNDING

    @property
    def places(self) -> list[Span]:
        return [place for filled in self.filled.values() for place in filled.places]
