"""Objects of the API out of JSON, in whatever arrangement somebody saved them.

What list endpoints return, single objects, arrays, JSON lines, objects inside of other objects: an
object is known by its ``object`` field. JSON without any is taken for the content of a file.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from localassist.archive.sources import Part, Source, read_part
from localassist.errors import ConfigError, InvalidRequest
from localassist.schemas import json_text

KINDS = (
    "assistant",
    "thread",
    "thread.message",
    "thread.run",
    "thread.run.step",
    "file",
    "vector_store",
    "vector_store.file",
)
CONTENT = "localassist.file_content"
_JSON, _LINES = (".json",), (".jsonl", ".ndjson")
_MOST_JSON_BYTES = 2 * 2**30
_MOST_PROBLEMS = 10_000


@dataclass(frozen=True, slots=True)
class Found:
    """An object as it was found, and where. ``order`` tells objects of one second apart: it grows
    with their age in their list, whichever way round that was saved."""

    kind: str
    value: dict[str, Any]
    place: str
    order: int


@dataclass(slots=True)
class Reading:
    """What was found, and what is to be said about it. ``problems`` keep the import from being
    made; ``others`` are objects that are no part of it, by kind; ``contents`` the parts that hold
    no objects; ``declared`` says which of them are the contents of files, by id. ``shortens``
    allows labels that are too long to be cut, and ``shortened`` says which were."""

    shortens: bool = False

    objects: list[Found] = field(default_factory=list)
    contents: list[Part] = field(default_factory=list)
    declared: dict[str, dict[str, Any]] = field(default_factory=dict)
    others: Counter[str] = field(default_factory=Counter)
    unknown_fields: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    shortened: list[str] = field(default_factory=list)

    def refuse(self, place: str, why: str) -> None:
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(f"{place}: {why}")
        elif len(self.problems) == _MOST_PROBLEMS:
            self.problems.append(f"More than {_MOST_PROBLEMS:,} problems: the rest is not listed.")


def read_objects(
    source: Source,
    told: Callable[[int, int], None] = lambda *_: None,
    *,
    shortens: bool = False,
) -> Reading:
    """Read everything; ``told`` is how many bytes of how many are read. Raises ConfigError when
    there is too much of it."""
    reading = Reading(shortens)
    parts = source.parts()
    json_bytes = sum(part.size_bytes for part in parts if _is_json(part.name))
    if json_bytes > _MOST_JSON_BYTES:
        raise ConfigError(f"It holds {json_bytes:,} bytes of JSON; at most 2 GiB are read.")
    done_bytes = 0
    for part in parts:
        told(done_bytes, json_bytes)
        done_bytes += part.size_bytes if _is_json(part.name) else 0
        if not _is_json(part.name) or not _read(source, part, reading):
            reading.contents.append(part)
    return reading


def _is_json(name: str) -> bool:
    return name.lower().endswith(_JSON + _LINES)


def _read(source: Source, part: Part, reading: Reading) -> bool:
    """Whether the part held objects, or tried to."""
    raw = read_part(source, part)
    before = len(reading.objects) + sum(reading.others.values()) + len(reading.declared)
    # What may be the content of a file is not held against the dump when it is no JSON.
    try:
        text = raw.decode(json.detect_encoding(raw))
    except UnicodeDecodeError as error:
        reading.refuse(part.name, f"is not text in UTF-8, UTF-16 or UTF-32 (byte {error.start}).")
        return True
    text = text.removeprefix("\ufeff")
    if part.name.lower().endswith(_LINES) or _is_lines(text):
        _read_lines(text, part.name, reading)
    else:
        value = _parsed(text, part.name, reading)
        if value is not None:
            _collect(value, part.name, reading)
    after = len(reading.objects) + sum(reading.others.values()) + len(reading.declared)
    return after > before or any(said.startswith(part.name) for said in reading.problems)


def _is_lines(text: str) -> bool:
    """Whether a file that is called JSON has an object on each line."""
    head = text.lstrip().partition("\n")
    return bool(head[2].strip()) and _is_object(head[0]) and head[2].lstrip().startswith("{")


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _read_lines(text: str, name: str, reading: Reading) -> None:
    values, places = [], []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            place = f"{name} line {number}"
            value = _parsed(line, place, reading)
            if value is not None:
                values.append(value)
                places.append(place)
    if all(isinstance(value, dict) and _kind(value) for value in values):
        _collect_list(values, places, reading, is_page=False)
    else:
        for value, place in zip(values, places, strict=True):
            _collect(value, place, reading)


def _parsed(text: str, place: str, reading: Reading) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}" if error.lineno > 1 else error.colno
        at = where if isinstance(where, str) else f"column {where}"
        is_cut = error.pos >= len(text.rstrip()) - 1 or error.msg.startswith("Unterminated")
        reading.refuse(place, f"is no JSON{': it is cut short' if is_cut else ''} ({at}).")
    except RecursionError:
        reading.refuse(place, "is nested too deeply.")
    except ValueError as error:
        reading.refuse(place, f"is no JSON: {error}.")
    return None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number of JSON")


def _kind(value: Any) -> str | None:
    kind = value.get("object") if isinstance(value, dict) else None
    return kind if isinstance(kind, str) and kind != "list" else None


def _collect(value: Any, place: str, reading: Reading) -> None:
    """All objects in a value, from the outside in."""
    try:
        if isinstance(value, dict):
            if _kind(value) is not None:
                _collect_list([value], [place], reading, is_page=False)
                return
            is_page = isinstance(value.get("data"), list)
            for name, child in value.items():
                if isinstance(child, list):
                    _collect_array(child, f"{place}: {name}", reading, is_page=is_page)
                elif isinstance(child, dict):
                    _collect(child, f"{place}: {name}", reading)
        elif isinstance(value, list):
            _collect_array(value, place, reading, is_page=False)
    except RecursionError:
        reading.refuse(place, "is nested too deeply.")


def _collect_array(values: list[Any], place: str, reading: Reading, *, is_page: bool) -> None:
    places = [f"{place}[{number}]" for number in range(len(values))]
    objects = [(v, p) for v, p in zip(values, places, strict=True) if _kind(v)]
    _collect_list([v for v, _ in objects], [p for _, p in objects], reading, is_page=is_page)
    for value, at in zip(values, places, strict=True):
        if _kind(value) is None:
            _collect(value, at, reading)


def _collect_list(
    values: Sequence[dict[str, Any]], places: Sequence[str], reading: Reading, *, is_page: bool
) -> None:
    """Objects that stood in one list, taken oldest first."""
    pairs = list(zip(values, places, strict=True))
    if _is_newest_first(values, is_page=is_page):
        pairs.reverse()
    for value, place in pairs:
        kind = _kind(value) or ""
        if kind == CONTENT and isinstance(value.get("file_id"), str):
            reading.declared[value["file_id"]] = value
        elif kind not in KINDS:
            reading.others[kind[:64]] += 1
        else:
            _take(kind, value, place, reading)


def _take(kind: str, value: dict[str, Any], place: str, reading: Reading) -> None:
    try:
        json_text.check(value)
    except InvalidRequest as error:
        reading.refuse(place, error.message)
        return
    for name, inner in list(_nested(kind, value)):
        del value[name]
        _collect(inner, f"{place}: {name}", reading)
    reading.objects.append(Found(kind, value, place, len(reading.objects)))


def _nested(kind: str, value: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Fields of an object in which somebody has put other objects, such as a thread's messages."""
    for name in ("messages", "runs", "steps", "files", "run_steps", "vector_store_files"):
        inner = value.get(name)
        if isinstance(inner, dict) and isinstance(inner.get("data"), list):
            yield name, inner
        elif isinstance(inner, list) and any(_kind(one) in KINDS for one in inner):
            yield name, inner


def _is_newest_first(values: Sequence[dict[str, Any]], *, is_page: bool) -> bool:
    """Lists of the API are newest first unless it was asked otherwise. In one second nobody can
    tell, but that a question comes before its answer."""
    if len(values) < 2:
        return False
    first, last = values[0].get("created_at"), values[-1].get("created_at")
    if not isinstance(first, int | float) or not isinstance(last, int | float):
        return False
    if first != last:
        return first > last
    roles = values[0].get("role"), values[-1].get("role")
    return is_page and roles != ("user", "assistant")
