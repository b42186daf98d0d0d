"""What an import holds, put in order: every object once, threads whole, contents with their files.

Knows nothing of what is in the data folder already; that is ``planning``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from localassist import clock
from localassist.archive.export_file import CONTENTS, MANIFEST
from localassist.archive.reading import Found, Reading
from localassist.archive.references import FILE, references
from localassist.archive.sources import Part
from localassist.archive.validating import validated
from localassist.schemas.assistants import Assistant
from localassist.schemas.files import File
from localassist.schemas.messages import Message, MessageIncompleteDetails
from localassist.schemas.run_steps import RunStep
from localassist.schemas.runs import Run
from localassist.schemas.threads import Thread
from localassist.schemas.vector_stores import StoreFile, VectorStore
from localassist.storage.tables import ACTIVE_STATUSES


@dataclass(slots=True)
class Gathered:
    """Objects by id. ``without_resources`` are assistants and threads that do not say what their
    tools read, as those of version 1; ``places`` says where an object stood."""

    assistants: dict[str, Assistant] = field(default_factory=dict)
    threads: dict[str, Thread] = field(default_factory=dict)
    messages: dict[str, list[Message]] = field(default_factory=dict)
    runs: dict[str, list[Run]] = field(default_factory=dict)
    steps: dict[str, list[RunStep]] = field(default_factory=dict)
    files: dict[str, File] = field(default_factory=dict)
    contents: dict[str, Part] = field(default_factory=dict)
    stores: dict[str, VectorStore] = field(default_factory=dict)
    store_files: dict[str, list[StoreFile]] = field(default_factory=dict)
    without_resources: set[str] = field(default_factory=set)
    places: dict[str, str] = field(default_factory=dict)
    named_files: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


def gather(reading: Reading, told: Callable[[int, int], None] = lambda *_: None) -> Gathered:
    """Validate all objects and put them together; what is wrong is added to
    ``reading.problems``. ``told`` is how many objects of how many are checked."""
    gathered = Gathered()
    objects = _each_once(reading, gathered, told)
    for found, value in objects:
        gathered.named_files.update(i for kind, i in references(value.dump()) if kind == FILE)
        if found.kind in ("assistant", "thread") and not found.value.get("tool_resources"):
            gathered.without_resources.add(value.id)
    of: dict[str, list[Any]] = {}
    for found, value in objects:
        of.setdefault(found.kind, []).append(value)
    gathered.assistants = {each.id: each for each in of.get("assistant", ())}
    gathered.threads = {each.id: each for each in of.get("thread", ())}
    gathered.files = {each.id: each for each in of.get("file", ())}
    gathered.stores = {each.id: each for each in of.get("vector_store", ())}
    _end_open_work(of, gathered)
    gathered.messages = _by(of.get("thread.message", ()), "thread_id")
    gathered.runs = _by(of.get("thread.run", ()), "thread_id")
    gathered.steps = _by(_steps(of, reading, gathered), "thread_id")
    gathered.store_files = _by(of.get("vector_store.file", ()), "vector_store_id")
    _make_parents(gathered)
    gathered.named_files.update(
        file.id for members in gathered.store_files.values() for file in members
    )
    _find_contents(reading, gathered)
    return gathered


def _each_once(
    reading: Reading, gathered: Gathered, told: Callable[[int, int], None]
) -> list[tuple[Found, Any]]:
    """Validated objects, oldest first, each id once."""
    seen: dict[tuple[str, ...], Any] = {}
    kept: list[tuple[Found, Any]] = []
    repeated = 0
    for number, found in enumerate(reading.objects):
        told(number, len(reading.objects))
        value = validated(found, reading)
        if value is None:
            continue
        parent = (value.vector_store_id,) if found.kind == "vector_store.file" else ()
        key = (found.kind, value.id, *parent)
        if key not in seen:
            seen[key] = value
            place = gathered.places.setdefault("/".join(key[1:]), found.place)
            if place != found.place and not parent:
                reading.refuse(found.place, f"{value.id} is also in {place}, as another object.")
            kept.append((found, value))
        elif seen[key] == value:
            repeated += 1
        else:
            first = gathered.places["/".join(key[1:])]
            reading.refuse(found.place, f"{value.id} is also in {first}, and not the same there.")
    if repeated:
        gathered.notes.append(f"{repeated} objects are in it more than once, and always the same.")
    kept.sort(key=lambda pair: (pair[1].created_at, pair[0].order))
    return kept


def _end_open_work(of: dict[str, list[Any]], gathered: Gathered) -> None:
    """What was under way elsewhere is over: nobody is going to go on with it."""
    now = clock.now()
    ended = 0
    runs = []
    for run in of.get("thread.run", ()):
        if run.status in ACTIVE_STATUSES:
            ended += 1
            change = {"status": "cancelled", "cancelled_at": now, "required_action": None}
            run = run.model_copy(update=change)
        runs.append(run)
    of["thread.run"] = runs
    of["thread.run.step"] = [
        step.model_copy(update={"status": "cancelled", "cancelled_at": now})
        if step.status == "in_progress"
        else step
        for step in of.get("thread.run.step", ())
    ]
    cut_off = MessageIncompleteDetails(reason="run_cancelled")
    change = {"status": "incomplete", "incomplete_at": now, "incomplete_details": cut_off}
    of["thread.message"] = [
        message.model_copy(update=change) if message.status == "in_progress" else message
        for message in of.get("thread.message", ())
    ]
    if ended:
        gathered.notes.append(f"Runs that had not ended and become cancelled: {ended}.")


def _steps(of: dict[str, list[Any]], reading: Reading, gathered: Gathered) -> list[Any]:
    """Steps whose runs are there."""
    runs = {run.id: run for run in of.get("thread.run", ())}
    kept, lost = [], 0
    for step in of.get("thread.run.step", ()):
        run = runs.get(step.run_id)
        if run is None:
            lost += 1
        elif run.thread_id != step.thread_id:
            reading.refuse(gathered.places[step.id], f"{run.id} is a run of another thread.")
        else:
            kept.append(step)
    if lost:
        gathered.notes.append(f"{lost} run steps are left out: their runs are not in it.")
    return kept


def _make_parents(gathered: Gathered) -> None:
    """Threads cannot be listed, so that many a dump has only their messages."""
    made = 0
    for thread_id in [*gathered.messages, *gathered.runs]:
        if thread_id not in gathered.threads:
            belonging = [*gathered.messages.get(thread_id, ()), *gathered.runs.get(thread_id, ())]
            at = min(each.created_at for each in belonging)
            gathered.threads[thread_id] = Thread(id=thread_id, created_at=at)
            gathered.without_resources.add(thread_id)
            made += 1
    if made:
        gathered.notes.append(f"{made} threads are made of their messages and runs.")
    for store_id, members in gathered.store_files.items():
        if store_id not in gathered.stores:
            at = min(file.created_at for file in members)
            gathered.stores[store_id] = VectorStore.model_validate(
                {
                    "id": store_id,
                    "created_at": at,
                    "name": "",
                    "usage_bytes": 0,
                    "file_counts": {},
                    "status": "completed",
                    "last_active_at": at,
                }
            )
            gathered.notes.append(f"{store_id} is made of its files: it is not in it itself.")


def _find_contents(reading: Reading, gathered: Gathered) -> None:
    """Contents lie in an export under their SHA-256, in a dump beside the JSON: under the id of
    their file or in a folder of that name, or under its name with its size."""
    by_name = {part.name: part for part in reading.contents}
    for file_id, known in reading.declared.items():
        part = by_name.get(f"{CONTENTS}{known.get('sha256')}")
        if part is not None and file_id in gathered.files:
            gathered.contents[file_id] = part
    matched = {MANIFEST, *(part.name for part in gathered.contents.values())}
    shelf = _Shelf(part for part in reading.contents if part.name not in matched)
    for file_id in sorted({*gathered.files, *gathered.named_files} - set(gathered.contents)):
        part = shelf.of_id(file_id)
        if part is None:
            continue
        gathered.contents[file_id] = part
        if file_id not in gathered.files:
            name = PurePosixPath(part.name).name
            gathered.files[file_id] = File(
                id=file_id,
                bytes=part.size_bytes,
                created_at=clock.now(),
                filename=name,
                purpose="assistants",
            )
    for file_id, file in gathered.files.items():
        if file_id not in gathered.contents:
            part = shelf.of_name(file.filename, file.bytes)
            if part is not None:
                gathered.contents[file_id] = part
    used = {part.name for part in gathered.contents.values()}
    unused = sum(part.name not in used for part in shelf.parts)
    if unused:
        gathered.notes.append(f"{unused} files in it belong to no file object, and are left out.")


class _Shelf:
    """Contents by what they are called."""

    def __init__(self, parts: Iterable[Part]) -> None:
        self.parts = list(parts)
        self._by_word: dict[str, list[Part]] = {}
        self._by_name: dict[str, list[Part]] = {}
        for part in self.parts:
            path = PurePosixPath(part.name)
            self._by_name.setdefault(path.name, []).append(part)
            heads = {path.stem, path.name, *path.parent.parts}
            heads |= {path.name.partition(mark)[0] for mark in ("_", ".", " ", "__")}
            for word in heads:
                self._by_word.setdefault(word, []).append(part)

    def of_id(self, file_id: str) -> Part | None:
        found = self._by_word.get(file_id, ())
        return found[0] if len(found) == 1 else None

    def of_name(self, filename: str, size_bytes: int) -> Part | None:
        found = self._by_name.get(filename, ())
        fitting = [part for part in found if part.size_bytes == size_bytes]
        if size_bytes == 0 and len(found) == 1:
            return found[0]
        return fitting[0] if fitting else None


def _by(values: Iterable[Any], name: str) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for value in values:
        found.setdefault(getattr(value, name), []).append(value)
    return found


def counts(gathered: Gathered) -> Counter[str]:
    """How many objects there are, by what people call them."""
    return Counter(
        assistants=len(gathered.assistants),
        threads=len(gathered.threads),
        messages=sum(map(len, gathered.messages.values())),
        runs=sum(map(len, gathered.runs.values())),
        files=len(gathered.files),
        vector_stores=len(gathered.stores),
    )
