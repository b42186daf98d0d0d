"""What an import holds, put in order: every object once, threads whole, contents with their files.

Knows nothing of what is in the data folder already; that is ``planning``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from localassist import clock
from localassist.archive.contents import find_contents
from localassist.archive.context import items_of, written_files
from localassist.archive.limits import MODELS
from localassist.archive.reading import Found, Reading, read_objects
from localassist.archive.references import FILE, references
from localassist.archive.sources import Part, Source
from localassist.archive.staging import Staged, Staging, is_newest_first
from localassist.archive.validating import validated
from localassist.schemas.assistants import Assistant
from localassist.schemas.base import WireModel
from localassist.schemas.files import File
from localassist.schemas.messages import Message, MessageIncompleteDetails
from localassist.schemas.run_steps import RunStep
from localassist.schemas.runs import Run
from localassist.schemas.threads import Thread
from localassist.schemas.vector_stores import StoreFile, VectorStore
from localassist.storage.imports import Talk
from localassist.storage.tables import ACTIVE_STATUSES

Model = TypeVar("Model", bound=WireModel)


@dataclass(slots=True)
class Gathered:
    """Objects by id. Threads are ids only: what belongs to them stays in ``staging`` until ``talk``
    asks for it. ``threads`` says since when each is, ``made`` are those that are only named."""

    staging: Staging
    assistants: dict[str, Assistant] = field(default_factory=dict)
    files: dict[str, File] = field(default_factory=dict)
    stores: dict[str, VectorStore] = field(default_factory=dict)
    store_files: dict[str, list[StoreFile]] = field(default_factory=dict)
    threads: dict[str, int] = field(default_factory=dict)
    made: set[str] = field(default_factory=set)
    contents: dict[str, Part] = field(default_factory=dict)
    named_files: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    def place(self, kind: str, object_id: str) -> str:
        """Where an object stood; its id when it was only named."""
        found = self.staging.one(kind, object_id)
        return object_id if found is None else found.place

    def talk(self, thread_id: str, present_files: Collection[str]) -> Talk:
        """A thread with all that belongs to it. What was under way elsewhere is over: nobody is
        going to go on with it."""
        staged = self.staging.one("thread", thread_id)
        thread = (
            Thread(id=thread_id, created_at=self.threads[thread_id])
            if staged is None
            else cast(Thread, _loaded(staged))
        )
        now = clock.now()
        owned = self.staging.of_owner
        messages = [
            _ended_message(_loaded(each), now) for each in owned("thread.message", thread_id)
        ]
        runs = [_ended_run(_loaded(each), now) for each in owned("thread.run", thread_id)]
        run_ids = {run.id for run in runs}
        steps = [
            _ended_step(_loaded(each), now)
            for each in owned("thread.run.step", thread_id)
            if each.run_id in run_ids
        ]
        written = {p: i for p, i in written_files(messages).items() if i in present_files}
        return Talk(thread, messages, runs, steps, items_of(messages, runs, steps), written)


def gather(
    source: Source,
    staging: Staging,
    told: Callable[[int, int], None] = lambda *_: None,
    *,
    shortens: bool = False,
) -> tuple[Reading, Gathered]:
    """Read all objects, validate them and put them together; what is wrong is added to the
    reading's ``problems``. ``told`` is how many bytes of how many are read."""
    gathered = Gathered(staging)
    stage = _Stage(gathered)
    reading = read_objects(source, stage.take, told, shortens=shortens)
    stage.say()
    gathered.assistants = _by_id(staging, "assistant", Assistant)
    gathered.files = _by_id(staging, "file", File)
    gathered.stores = _by_id(staging, "vector_store", VectorStore)
    for member in staging.of_kind("vector_store.file"):
        file = cast(StoreFile, _loaded(member))
        gathered.store_files.setdefault(file.vector_store_id, []).append(file)
        gathered.named_files.add(file.id)
    _gather_threads(gathered)
    _make_stores(gathered)
    _check_steps(reading, gathered)
    _note_open_pages(reading, gathered)
    find_contents(
        source, reading, gathered.files, gathered.named_files, gathered.contents, gathered.notes
    )
    return reading, gathered


class _Stage:
    """Keeps every object once."""

    def __init__(self, gathered: Gathered) -> None:
        self._gathered = gathered
        self._repeated = 0
        self._ended = 0

    def take(self, found: Found, reading: Reading) -> None:
        value = validated(found, reading)
        if value is None:
            return
        dumped = value.dump()
        self._gathered.named_files.update(i for kind, i in references(dumped) if kind == FILE)
        staged = Staged(
            kind=found.kind,
            id=value.id,
            owner=dumped.get("thread_id") or dumped.get("vector_store_id") or "",
            run_id=dumped.get("run_id") or "",
            created_at=value.created_at,
            role=dumped.get("role") or "",
            place=found.place,
            list_number=found.list_number,
            position=found.position,
            is_page=found.is_page,
            body=json.dumps(dumped, ensure_ascii=False),
        )
        other = self._gathered.staging.put(staged)
        if other is None:
            is_run = found.kind == "thread.run"
            self._ended += is_run and dumped["status"] in ACTIVE_STATUSES
        elif other.body == staged.body:
            self._repeated += 1
        else:
            why = f"{value.id} is also in {other.place}, and not the same there."
            reading.refuse(found.place, why)

    def say(self) -> None:
        notes = self._gathered.notes
        if self._repeated:
            notes.append(f"{self._repeated} objects are in it more than once, and always the same.")
        if self._ended:
            notes.append(f"Runs that had not ended and become cancelled: {self._ended}.")


def _loaded(staged: Staged) -> Any:
    return MODELS[staged.kind].model_validate_json(staged.body)


def _by_id(staging: Staging, kind: str, model: type[Model]) -> dict[str, Model]:
    return {each.id: cast(Model, _loaded(each)) for each in staging.of_kind(kind)}


def _ended_run(run: Run, now: int) -> Run:
    if run.status not in ACTIVE_STATUSES:
        return run
    change = {"status": "cancelled", "cancelled_at": now, "required_action": None}
    return run.model_copy(update=change)


def _ended_step(step: RunStep, now: int) -> RunStep:
    if step.status != "in_progress":
        return step
    return step.model_copy(update={"status": "cancelled", "cancelled_at": now})


def _ended_message(message: Message, now: int) -> Message:
    if message.status != "in_progress":
        return message
    cut_off = MessageIncompleteDetails(reason="run_cancelled")
    change = {"status": "incomplete", "incomplete_at": now, "incomplete_details": cut_off}
    return message.model_copy(update=change)


def _gather_threads(gathered: Gathered) -> None:
    """Threads cannot be listed, so that many a dump has only their messages."""
    for thread_id, created_at, is_made in gathered.staging.threads():
        gathered.threads[thread_id] = created_at
        if is_made:
            gathered.made.add(thread_id)
    if gathered.made:
        gathered.notes.append(f"{len(gathered.made)} threads are made of their messages and runs.")


def _make_stores(gathered: Gathered) -> None:
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


def _check_steps(reading: Reading, gathered: Gathered) -> None:
    for place, run_id in gathered.staging.stray_steps():
        reading.refuse(place, f"{run_id} is a run of another thread.")
    if lost := gathered.staging.lost_steps():
        gathered.notes.append(f"{lost} run steps are left out: their runs are not in it.")


def _note_open_pages(reading: Reading, gathered: Gathered) -> None:
    """A page that says that there is more, where nothing of the dump goes on behind it."""
    of: dict[tuple[str, str], dict[str, str]] = {}
    for page in reading.open_pages:
        last = gathered.staging.one(page.kind, page.last_id)
        if last is not None:
            of.setdefault((page.kind, last.owner), {})[last.id] = page.place
    ended = []
    for (kind, owner), places in of.items():
        found = gathered.staging.of_owner(kind, owner)
        for last in {found[0].id: found[0], found[-1].id: found[-1]}.values():
            members = [each for each in found if each.list_number == last.list_number]
            behind = found[0] if is_newest_first(members) else found[-1]
            if last.id in places and last.id == behind.id:
                ended.append(f"{places[last.id]} ({kind}s{f' of {owner}' if owner else ''})")
    if ended:
        shown = ", ".join(ended[:_MOST_SHOWN])
        more = f" and {len(ended) - _MOST_SHOWN} more" if len(ended) > _MOST_SHOWN else ""
        gathered.notes.append(
            f"Pages that say there is more (has_more), which is not in it: {shown}{more}."
        )


_MOST_SHOWN = 5
