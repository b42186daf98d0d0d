"""Bytes of a request body → JSON data that every later layer can hold.

Refuses what is no JSON, and JSON that some layer below would choke on: nesting without end, values
by the million, numbers beyond 64 bits, text with NUL or unpaired surrogates. Knows nothing of any
resource.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from localassist.errors import InvalidRequest
from localassist.schemas import phrases
from localassist.schemas.base import is_storable
from localassist.schemas.phrases import Step, join_path

MAX_DEPTH = 100
MAX_VALUES = 500_000
_LARGEST, _SMALLEST = 2**64 - 1, -(2**63)
_TOO_LARGE = 2**64

_NOT_JSON = (
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using "
    "your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was "
    "not valid JSON.)"
)

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)

# Where a value sits: its parent's place and its own step. A linked list costs nothing until an
# error needs the path.
_Place = tuple["_Place", Step] | None


def read_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in ``raw``; no bytes at all stand for an empty one."""
    if not raw.strip():
        return {}
    data = _parse(raw)
    if not isinstance(data, dict):
        raise InvalidRequest(
            f"Invalid type: expected an object, but got {phrases.kind_of(data)} instead.",
            code="invalid_type",
        )
    check(data)
    return data


def _parse(raw: bytes) -> Any:
    _refuse_floods(raw)
    try:
        return json.loads(raw, parse_int=_read_integer, parse_constant=_refuse_constant)
    except RecursionError:
        raise _too_deep() from None
    except ValueError:
        raise InvalidRequest(_NOT_JSON) from None


def _refuse_floods(raw: bytes) -> None:
    """Two bytes of JSON can be an object of seventy in memory, and each is looked at while nobody
    else is served. What is counted are the beginnings of values; only a body that may have too many
    is looked at without its strings."""
    if _marks(raw) <= MAX_VALUES:
        return
    bare, strings = _STRING.subn(b"", raw, count=MAX_VALUES)
    if strings == MAX_VALUES or _marks(bare) > MAX_VALUES:
        raise InvalidRequest(
            f"Invalid request body: too many values. At most {MAX_VALUES} are accepted.",
            code="invalid_value",
        )


def _marks(raw: bytes) -> int:
    return raw.count(b",") + raw.count(b"[") + raw.count(b"{")


def _read_integer(text: str) -> int:
    # Converting a very long number takes Python quadratic time, and more than 4300 digits fail.
    return int(text) if len(text) <= 20 else _TOO_LARGE


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _too_deep() -> InvalidRequest:
    return InvalidRequest(
        f"Invalid request body: nested too deeply. At most {MAX_DEPTH} levels are accepted.",
        code="invalid_value",
    )


def check(data: dict[str, Any]) -> None:
    """Visit every value, without recursion, in the order they were sent."""
    level: list[tuple[Any, _Place]] = [(data, None)]
    for _ in range(MAX_DEPTH):
        level = [child for value, place in level for child in _children(value, place)]
        if not level:
            return
    raise _too_deep()


def _children(container: Any, place: _Place) -> Iterator[tuple[Any, _Place]]:
    """Check the scalars in ``container``; yield its containers, which come next."""
    if isinstance(container, dict):
        for name in container:
            if not is_storable(name):
                raise phrases.unusable_text(_path(place) or None)
        entries: Iterator[tuple[Step, Any]] = iter(container.items())
    else:
        entries = enumerate(container)
    for step, value in entries:
        if isinstance(value, (dict, list)):
            yield value, (place, step)
        elif isinstance(value, str):
            if not is_storable(value):
                raise phrases.unusable_text(_path((place, step)))
        elif isinstance(value, (int, float)) and not _is_portable(value):
            param = _path((place, step))
            raise InvalidRequest(
                f"Invalid '{param}': number out of range.", param=param, code="invalid_value"
            )


def _is_portable(value: int | float) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return _SMALLEST <= value <= _LARGEST


def _path(place: _Place) -> str:
    steps: list[Step] = []
    while place is not None:
        place, step = place
        steps.append(step)
    return join_path(reversed(steps))
