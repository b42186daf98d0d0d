"""Requests made from the schemas of the published descriptions: for every field the values that its
schema names, on top of the least that the endpoint requires.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.conformance.published import Json
from tests.published_parameters import branches

# A text that is a name, a path and a sentence alike.
TEXT = "get_weather"
# Fields that schemas do not require, and no server can do without.
NEEDED = ("file_id", "tool_call_id")


class Samples:
    """Values for schemas of one description. ``known`` are values for fields by their names, where
    a schema does not say enough: ids of objects that exist, names of models."""

    def __init__(self, document: Json, known: Mapping[str, list[Any]]) -> None:
        self._document = document
        self._known = known

    def least(self, schema: Json) -> Any:
        """The smallest value of a schema."""
        return next(self.values(schema))

    def values(self, schema: Json, name: str = "") -> Iterator[Any]:
        """One value for each member of unions and enums, and both ends of a range."""
        if name in self._known:
            yield from self._known[name]
            return
        for branch in branches(self._document, schema):
            yield from self._of_branch(branch)

    def with_field(self, schema: Json, steps: list[str]) -> Iterator[Any]:
        """Values of a schema that have the field to which ``steps`` lead; ``[]`` is an item."""
        if not steps:
            yield from self.values(schema)
            return
        step, *rest = steps
        for branch in branches(self._document, schema):
            if step == "[]" and "items" in branch:
                yield from ([item] for item in self.with_field(branch["items"], rest))
            elif step in branch.get("properties", {}):
                least = self._object(branch)
                inner = branch["properties"][step]
                found = self.with_field(inner, rest) if rest else self.values(inner, step)
                yield from ({**least, step: value} for value in found)

    def _of_branch(self, branch: Json) -> Iterator[Any]:
        if "enum" in branch or "const" in branch:
            yield from branch.get("enum", [branch.get("const")])
            return
        kind = branch.get("type", "object" if "properties" in branch else None)
        if kind == "object":
            yield self._object(branch)
        elif kind == "array":
            yield from ([item] for item in self.values(branch["items"]))
        elif kind == "string":
            yield TEXT
            if "maxLength" in branch:
                yield "ä" * branch["maxLength"]
        elif kind in ("integer", "number"):
            ends = [branch[end] for end in ("minimum", "maximum") if end in branch]
            yield from ends or [1]
        elif kind == "boolean":
            yield from (True, False)
        else:
            yield None

    def _object(self, branch: Json) -> Json:
        properties = branch.get("properties", {})
        if not properties and isinstance(branch.get("additionalProperties"), dict):
            return {"key": self.least(branch["additionalProperties"])}
        required = {*branch.get("required", []), *NEEDED} & set(properties)
        return {name: next(self.values(properties[name], name)) for name in required}


def steps_to(name: str) -> list[str]:
    """``tools[].function`` as the steps that lead there."""
    return re.findall(r"\[\]|[^.\[\]]+", name)
