"""How long the shortest text of a schema is at least: endless where it never comes to an end.

A recursion without a way out, or a list of a million items, would keep a model writing until its
limit cuts it off. Lengths are lower bounds: patterns and conditions count for nothing.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from localassist.tools.references import References
from localassist.tools.schema import Path, SchemaProblem, subschemas

# Lengths only shrink while they are found; no schema that is meant for anything needs more.
_MOST_MEASUREMENTS = 100_000


class Shortest:
    """The shortest texts of a schema and of all that it is made of."""

    def __init__(self, root: Any, references: References) -> None:
        self._references = references
        self._lengths: dict[int, float] = {}
        self._find(list(_parts_first(root)))

    def check(self, path: Path, node: Mapping[str, Any], limit: int) -> None:
        """Raise SchemaProblem where the shortest text of ``node`` is longer than ``limit``."""
        length = self._of(node)
        if length <= limit:
            return
        place, inner = self._cause(path, node, limit)
        keywords = ("minItems", "minLength", "required", "$ref", "enum", "const", "allOf", "anyOf")
        keyword = next((keyword for keyword in keywords if keyword in inner), None)
        if math.isinf(length):
            raise SchemaProblem(place, keyword, "no value fits that comes to an end")
        reason = f"the shortest value has {length:.3g} characters; {limit} are possible"
        raise SchemaProblem(place, keyword, reason)

    def _cause(
        self, path: Path, node: Mapping[str, Any], limit: int
    ) -> tuple[Path, Mapping[str, Any]]:
        """The deepest part of a schema that is too long by itself."""
        seen = {id(node)}
        while True:
            inner = next(
                (
                    ((*path, *step), child)
                    for step, child in subschemas(node)
                    if isinstance(child, Mapping)
                    and id(child) not in seen
                    and step[0] in ("properties", "items", "prefixItems", "allOf", "anyOf", "oneOf")
                    and self._of(child) > limit
                ),
                None,
            )
            if inner is None:
                return path, node
            path, node = inner
            seen.add(id(node))

    def _find(self, nodes: list[Mapping[str, Any]]) -> None:
        """Measure every schema, and again when one has changed that it is made of."""
        users: dict[int, list[Mapping[str, Any]]] = {}
        for node in nodes:
            made_of = [child for _, child in subschemas(node)]
            for part in (*made_of, *self._references.targets((), node)):
                users.setdefault(id(part), []).append(node)
        waiting = deque(nodes)
        is_waiting = set(map(id, nodes))
        measurements = 0
        while waiting:
            node = waiting.popleft()
            is_waiting.remove(id(node))
            measurements += 1
            if measurements > _MOST_MEASUREMENTS:
                raise SchemaProblem((), None, "the schema refers to itself too often")
            length = self._measure(node)
            if length == self._lengths.get(id(node), math.inf):
                continue
            self._lengths[id(node)] = length
            for user in users.get(id(node), ()):
                if id(user) not in is_waiting:
                    is_waiting.add(id(user))
                    waiting.append(user)

    def _of(self, schema: Any) -> float:
        if isinstance(schema, Mapping):
            return self._lengths.get(id(schema), math.inf)
        return math.inf if schema is False else 1

    def _measure(self, node: Mapping[str, Any]) -> float:
        if "const" in node:
            return len(json.dumps(node["const"], ensure_ascii=False))
        lengths = [self._of_kinds(node)]
        if "enum" in node:
            sizes = (len(json.dumps(value, ensure_ascii=False)) for value in node["enum"])
            lengths = [min(sizes, default=math.inf)]
        lengths += [self._of(target) for target in self._references.targets((), node)]
        lengths += [self._of(child) for child in node.get("allOf", ())]
        for keyword in ("anyOf", "oneOf"):
            if keyword in node:
                lengths.append(min(self._of(child) for child in node[keyword]))
        return max(lengths)

    def _of_kinds(self, node: Mapping[str, Any]) -> float:
        kind = node.get("type")
        if kind is None:
            return 1  # a digit, if nothing else
        return min(self._of_kind(node, one) for one in ([kind] if isinstance(kind, str) else kind))

    def _of_kind(self, node: Mapping[str, Any], kind: str) -> float:
        if kind == "string":
            return 2 + float(node.get("minLength", 0))
        if kind == "array":
            return self._of_array(node)
        if kind == "object":
            return self._of_object(node)
        return 1

    def _of_array(self, node: Mapping[str, Any]) -> float:
        first = node.get("prefixItems")
        rest: Any = node.get("items", True)
        if isinstance(rest, list):
            first, rest = rest, node.get("additionalItems", True)
        count = node.get("minItems", 0)
        begun = [self._of(child) for child in (first or [])[:count]]
        more = count - len(begun)
        return 2 + sum(begun) + (more * (self._of(rest) + 2) if more > 0 else 0)

    def _of_object(self, node: Mapping[str, Any]) -> float:
        properties = node.get("properties", {})
        length = 2.0 + 4 * float(node.get("minProperties", 0))
        for name in node.get("required", ()) if isinstance(node.get("required"), list) else ():
            length += len(name) + 4 + self._of(properties.get(name, True))
        return length


def _parts_first(root: Any) -> Iterator[Mapping[str, Any]]:
    """Every schema that is an object, once, parts before what they are part of."""
    found: dict[int, Mapping[str, Any]] = {}
    stack = [root]
    while stack:
        node = stack.pop()
        if isinstance(node, Mapping) and id(node) not in found:
            found[id(node)] = node
            stack += [child for _, child in subschemas(node)]
    return reversed(found.values())
