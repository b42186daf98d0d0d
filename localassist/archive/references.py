"""Which files and vector stores an object names. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

FILE, STORE = "file", "vector_store"
_ONE = {"file_id": FILE}
_MANY = {"file_ids": FILE, "vector_store_ids": STORE}


def references(value: Any) -> Iterator[tuple[str, str]]:
    """What a JSON value names, as kind and id, as often as it does."""
    if isinstance(value, dict):
        for name, child in value.items():
            if name in _ONE and isinstance(child, str):
                yield _ONE[name], child
            elif name in _MANY and isinstance(child, list):
                yield from ((_MANY[name], one) for one in child if isinstance(one, str))
            elif isinstance(child, dict | list):
                yield from references(child)
    elif isinstance(value, list):
        for child in value:
            yield from references(child)
