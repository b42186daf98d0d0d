"""Why a schema has no grammar: the place and the keyword, found by trying parts of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from localassist.clock import monotonic
from localassist.tools.schema import Path, SchemaProblem, subschemas

Compiles: TypeAlias = Callable[[Mapping[str, Any]], bool]

_SECONDS = 0.3
_SHOWN_STEPS = 16
_SHOWN_CHARACTERS = 300
_SHARED = ("$defs", "definitions", "$schema")
# Taking one of these out changes what the rest means, so others are tried first.
_LAST = ("type", "properties", "required")


def diagnosis(root: Mapping[str, Any], compiles: Compiles) -> SchemaProblem:
    """The deepest schema that fails by itself, and the keyword in it without which it would not.
    Stops at a deadline; then the place found so far is named."""
    deadline = monotonic() + _SECONDS
    shared = {key: root[key] for key in _SHARED if key in root}

    def fails(schema: Any) -> bool:
        if not isinstance(schema, Mapping):
            return False
        return monotonic() < deadline and not compiles({**shared, **schema})

    path: Path = ()
    schema: Any = root
    while True:
        found = next(((step, child) for step, child in subschemas(schema) if fails(child)), None)
        if found is None:
            break
        path, schema = (*path, *found[0]), found[1]
    keywords = sorted(schema, key=lambda keyword: keyword in _LAST)
    for keyword in keywords:
        rest = {key: value for key, value in schema.items() if key != keyword}
        if monotonic() < deadline and not fails(rest):
            return SchemaProblem(path, keyword, "this keyword or its value is not supported")
    return SchemaProblem(path, None, "this schema is not supported")


def sentence(problem: SchemaProblem) -> str:
    """The problem for people: where, and why."""
    steps = [str(step) for step in problem.path]
    if len(steps) > _SHOWN_STEPS:
        steps = [*steps[:_SHOWN_STEPS], "…"]
    where = ".".join([*steps, *([] if problem.keyword is None else [problem.keyword])])
    if len(where) > _SHOWN_CHARACTERS:
        where = f"{where[: _SHOWN_CHARACTERS // 2]}…{where[-_SHOWN_CHARACTERS // 2 :]}"
    return f"In '{where}': {problem.reason}." if where else f"{problem.reason}."
