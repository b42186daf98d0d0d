"""Filters on the attributes of files, in the form they have on the wire."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

_MISSING = object()
_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


def matches(filters: Mapping[str, Any], attributes: Mapping[str, Any]) -> bool:
    """Whether a file with these attributes passes.

    A comparison is ``{type, key, value}`` with eq, ne, gt, gte, lt, lte, in or nin; a compound is
    ``{type: and | or, filters}`` of any depth. A file without the key passes only ne and nin.
    Values of different kinds are never equal and have no order: a bool is no number, a number
    no string. Raises ValueError for a type of filter that there is not.
    """
    kind = filters["type"]
    if kind == "and":
        return all(matches(part, attributes) for part in filters["filters"])
    if kind == "or":
        return any(matches(part, attributes) for part in filters["filters"])
    return _compare(kind, attributes.get(filters["key"], _MISSING), filters["value"])


def _compare(kind: str, actual: Any, value: Any) -> bool:
    if kind == "eq":
        return _equal(actual, value)
    if kind == "ne":
        return not _equal(actual, value)
    if kind == "in":
        return any(_equal(actual, one) for one in value)
    if kind == "nin":
        return not any(_equal(actual, one) for one in value)
    if kind in _ORDER:
        return _kind(actual) == _kind(value) in ("number", "text") and _ORDER[kind](actual, value)
    raise ValueError(f"there is no filter of type {kind!r}")


def _equal(actual: Any, value: Any) -> bool:
    return _kind(actual) == _kind(value) and bool(actual == value)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else type(value).__name__
