"""Where the references of a schema lead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from localassist.tools.schema import Path, SchemaProblem, subschemas


class References:
    """Pointers and anchors within one schema."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._anchors: dict[str, Any] = {}
        self._targets: dict[str, Any] = {}
        stack = [root]
        while stack:
            node = stack.pop()
            if not isinstance(node, Mapping):
                continue
            for keyword in ("$anchor", "$dynamicAnchor"):
                if isinstance(node.get(keyword), str):
                    self._anchors[node[keyword]] = node
            for keyword in ("$id", "id"):  # how drafts 4 to 7 write an anchor
                name = node.get(keyword)
                if isinstance(name, str) and name.startswith("#") and len(name) > 1:
                    self._anchors[name[1:]] = node
            stack += [child for _, child in subschemas(node)]

    def targets(self, path: Path, node: Mapping[str, Any]) -> Iterator[Any]:
        """The schemas that ``node`` refers to. Raises SchemaProblem for one that is not there;
        ``path`` is where the node lies."""
        for keyword in ("$ref", "$dynamicRef", "$recursiveRef"):
            reference = node.get(keyword)
            if isinstance(reference, str):
                target = self._find(reference)
                if not isinstance(target, (Mapping, bool)):
                    raise SchemaProblem(path, keyword, f"there is no schema at '{reference}'")
                yield target

    def depth(self) -> int:
        """At most so many schemas lie inside one another, references followed: a reader of the
        schema that goes into each just once is never deeper."""
        targets = {id(target): target for target in self._targets.values()}
        return _depth(self._root) + sum(map(_depth, targets.values()))

    def _find(self, reference: str) -> Any:
        if reference not in self._targets:
            self._targets[reference] = self._resolve(unquote(reference.removeprefix("#")))
        return self._targets[reference]

    def _resolve(self, fragment: str) -> Any:
        if not fragment.startswith("/"):
            return self._anchors.get(fragment) if fragment else self._root
        value: Any = self._root
        for part in fragment[1:].split("/"):
            name = part.replace("~1", "/").replace("~0", "~")
            if isinstance(value, Mapping):
                value = value.get(name)
            elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
                value = value[int(name)]
            else:
                return None
        return value


def _depth(schema: Any) -> int:
    """How many schemas lie inside one another here, references not followed."""
    level, depth = [schema], 0
    while level:
        depth += 1
        level = [child for node in level for _, child in subschemas(node)]
    return depth
