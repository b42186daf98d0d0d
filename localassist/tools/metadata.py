"""Why a model called or answered, as the metadata of a run step: few, short, whole JSON texts.

Metadata holds 16 texts of 512 characters. What is too long is told with shorter words, then with
fewer entries, of which numbers stay largest first; ``…`` says how many are missing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from localassist.schemas.base import MAX_METADATA_KEY, MAX_METADATA_PAIRS, MAX_METADATA_VALUE

_MORE = "…"
_TEXT_LENGTHS = (120, 60, 30)


def as_metadata(evidence: Mapping[str, Any]) -> dict[str, str]:
    """Each value as JSON text that fits."""
    pairs = islice(evidence.items(), MAX_METADATA_PAIRS)
    return {key[:MAX_METADATA_KEY]: json_within(value, MAX_METADATA_VALUE) for key, value in pairs}


def json_within(value: Any, room: int) -> str:
    """JSON text of at most ``room`` characters (16 or more) that says as much of ``value`` as it
    can. A text that has to be cut ends in ``…``."""
    value = _by_size(value)
    if len(_json(value)) > room:
        for length in _TEXT_LENGTHS:
            value = _with_texts_of(value, length)
            if len(_json(value)) <= room:
                break
        else:
            value = _fewer(value, room)
    return _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _by_size(value: Any) -> Any:
    """A table of numbers with the largest first."""
    if not isinstance(value, Mapping) or not all(map(_is_number, value.values())):
        return value
    return dict(sorted(value.items(), key=lambda pair: -pair[1]))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _with_texts_of(value: Any, length: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= length else value[: length - 1] + _MORE
    if isinstance(value, Mapping):
        return {key: _with_texts_of(child, length) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_with_texts_of(child, length) for child in value]
    return value


def _fewer(value: Any, room: int) -> Any:
    """As many entries as fit, the first that does not in part; None for what has none."""
    if isinstance(value, Mapping):
        return _fewer_pairs(value, room)
    if isinstance(value, list | tuple):
        return _fewer_items(value, room)
    return value if len(_json(value)) <= room else None


def _fewer_pairs(pairs: Mapping[str, Any], room: int) -> dict[str, Any]:
    missing = {_MORE: len(pairs)}
    kept: dict[str, Any] = {}
    for key, child in pairs.items():
        if len(_json({**kept, key: child, **missing})) <= room:
            kept[key] = child
    return {**kept, _MORE: len(pairs) - len(kept)} if len(kept) < len(pairs) else kept


def _fewer_items(items: Sequence[Any], room: int) -> list[Any]:
    missing = f"{_MORE} {len(items)}"
    kept: list[Any] = []
    for child in items:
        if len(_json([*kept, child, missing])) <= room:
            kept.append(child)
            continue
        left = room - len(_json([*kept, missing])) - len(", ")
        part = _fewer(child, left) if left > 2 * len(_json({_MORE: len(items)})) else None
        if part is not None and len(_json([*kept, part, missing])) <= room:
            kept.append(part)
        break
    return [*kept, f"{_MORE} {len(items) - len(kept)}"] if len(kept) < len(items) else kept
