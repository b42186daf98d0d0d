"""Objects of the API out of JSON, in whatever arrangement somebody saved them.

What list endpoints return, single objects, arrays, JSON lines, objects inside of other objects: an
object is known by its ``object`` field. JSON without any is taken for the content of a file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from localassist.archive.documents import documents, is_json
from localassist.archive.sources import Part, Source
from localassist.errors import InvalidRequest
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
_MOST_PROBLEMS = 10_000


@dataclass(frozen=True, slots=True)
class Found:
    """An object as it was found, and where: in which list, counted over all lists, and at which
    place of it. ``is_page`` is a list as the API returns it."""

    kind: str
    value: dict[str, Any]
    place: str
    list_number: int
    position: int
    is_page: bool


@dataclass(frozen=True, slots=True)
class OpenPage:
    """A page that says that there is more, with the last of its objects."""

    place: str
    kind: str
    last_id: str


@dataclass(slots=True)
class Reading:
    """What is to be said about what was found. ``shortens`` allows labels that are too long to be
    cut, and ``shortened`` says which were. ``contents`` are the parts that hold no objects of ours,
    of which ``spoken_for`` hold others; ``declared`` says which are the contents of files, by id;
    ``others`` are objects that are no part of it, by kind. ``problems`` keep the import from being
    made."""

    shortens: bool = False
    taken: int = 0
    contents: list[Part] = field(default_factory=list)
    spoken_for: set[str] = field(default_factory=set)
    declared: dict[str, dict[str, Any]] = field(default_factory=dict)
    others: Counter[str] = field(default_factory=Counter)
    unknown_fields: Counter[str] = field(default_factory=Counter)
    open_pages: list[OpenPage] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    shortened: list[str] = field(default_factory=list)

    def refuse(self, place: str, why: str) -> None:
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(f"{place}: {why}")
        elif len(self.problems) == _MOST_PROBLEMS:
            self.problems.append(f"More than {_MOST_PROBLEMS:,} problems: the rest is not listed.")


def read_objects(
    source: Source,
    take: Callable[[Found, Reading], None],
    told: Callable[[int, int], None] = lambda *_: None,
    *,
    shortens: bool = False,
) -> Reading:
    """Read everything and give each object to ``take`` as soon as it is read; ``told`` is how many
    bytes of how many are read. Raises ConfigError for what cannot be read at all."""
    reading = Reading(shortens)
    collector = _Collector(reading, take)
    parts = source.parts()
    json_bytes = sum(part.size_bytes for part in parts if is_json(part.name))
    done_bytes = 0
    for part in parts:
        told(done_bytes, json_bytes)
        if not is_json(part.name):
            reading.contents.append(part)
            continue
        before = reading.taken + len(reading.declared) + len(reading.problems)
        others = sum(reading.others.values())
        collector.part(source, part, partial(_told_from, told, done_bytes, json_bytes))
        done_bytes += part.size_bytes
        if reading.taken + len(reading.declared) + len(reading.problems) == before:
            reading.contents.append(part)
            if sum(reading.others.values()) > others:
                reading.spoken_for.add(part.name)
    return reading


def _told_from(told: Callable[[int, int], None], start: int, total: int, done: int) -> None:
    told(start + done, total)


def _kind(value: Any) -> str | None:
    kind = value.get("object") if isinstance(value, dict) else None
    return kind if isinstance(kind, str) and kind != "list" else None


class _Collector:
    """Finds objects in values. Lists are numbered, so that their order is known later."""

    def __init__(self, reading: Reading, take: Callable[[Found, Reading], None]) -> None:
        self._reading = reading
        self._take = take
        self._lists = 0

    def part(self, source: Source, part: Part, told: Callable[[int], None]) -> None:
        """All objects in a file. Its lines are one list."""
        lines = self._new_list()
        for document in documents(source, part, self._reading.refuse, told):
            if document.line is not None and _kind(document.value) is not None:
                self._object(document.value, document.place, lines, document.line, is_page=False)
            else:
                self._collect(document.value, document.place)

    def _new_list(self) -> int:
        self._lists += 1
        return self._lists

    def _collect(self, value: Any, place: str) -> None:
        """All objects in a value, from the outside in."""
        try:
            if isinstance(value, dict):
                if _kind(value) is not None:
                    self._object(value, place, self._new_list(), 0, is_page=False)
                    return
                is_page = isinstance(value.get("data"), list)
                if is_page and value.get("has_more") is True:
                    self._note_open(value["data"], place)
                for name, child in value.items():
                    if isinstance(child, list):
                        self._array(child, f"{place}: {name}", is_page=is_page)
                    elif isinstance(child, dict):
                        self._collect(child, f"{place}: {name}")
            elif isinstance(value, list):
                self._array(value, place, is_page=False)
        except RecursionError:
            self._reading.refuse(place, "is nested too deeply.")

    def _note_open(self, values: list[Any], place: str) -> None:
        last: Any = values[-1] if values else None
        kind = _kind(last)
        if kind in KINDS and isinstance(last.get("id"), str):
            self._reading.open_pages.append(OpenPage(place, kind, last["id"]))

    def _array(self, values: list[Any], place: str, *, is_page: bool) -> None:
        number = self._new_list()
        for position, value in enumerate(values):
            if _kind(value) is not None:
                self._object(value, f"{place}[{position}]", number, position, is_page=is_page)
            else:
                self._collect(value, f"{place}[{position}]")

    def _object(
        self, value: dict[str, Any], place: str, number: int, position: int, *, is_page: bool
    ) -> None:
        kind, reading = _kind(value) or "", self._reading
        if kind == CONTENT and isinstance(value.get("file_id"), str):
            reading.declared[value["file_id"]] = value
            return
        if kind not in KINDS:
            reading.others[kind[:64]] += 1
            return
        reading.taken += 1
        try:
            json_text.check(value)
        except InvalidRequest as error:
            reading.refuse(place, error.message)
            return
        for name, inner in list(_nested(value)):
            del value[name]
            self._collect(inner, f"{place}: {name}")
        self._take(Found(kind, value, place, number, position, is_page), reading)


def _nested(value: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Fields of an object in which somebody has put other objects, such as a thread's messages."""
    for name in ("messages", "runs", "steps", "files", "run_steps", "vector_store_files"):
        inner = value.get(name)
        if isinstance(inner, dict) and isinstance(inner.get("data"), list):
            yield name, inner
        elif isinstance(inner, list) and any(_kind(one) in KINDS for one in inner):
            yield name, inner
