"""What an import changes in a data folder: decided before anything is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from localassist import clock
from localassist.archive.gathering import Gathered
from localassist.archive.reading import Reading
from localassist.schemas.assistants import Assistant
from localassist.schemas.files import File
from localassist.schemas.uploads import MAX_UPLOAD_BYTES
from localassist.schemas.vector_stores import StoreFile, VectorStore
from localassist.storage import imports
from localassist.storage.database import Session, in_portions

T = TypeVar("T")
Policy = Literal["fail", "skip", "replace"]
Verb = Literal["new", "replaced", "skipped"]


@dataclass(slots=True)
class Plan:
    """What is going to be written. ``tally`` counts objects by what people call them and by what
    becomes of them; ``threads`` are ids; ``lost`` are files whose content is not there, ``present``
    those that will be there."""

    files: list[File] = field(default_factory=list)
    stores: list[tuple[VectorStore, list[StoreFile]]] = field(default_factory=list)
    assistants: list[Assistant] = field(default_factory=list)
    threads: list[str] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)
    present: set[str] = field(default_factory=set)
    tally: dict[str, Counter[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def count(self, family: str, verb: str, number: int = 1) -> None:
        self.tally.setdefault(family, Counter())[verb] += number


@dataclass(slots=True)
class _Decider:
    """Whether objects are taken, by what is there already."""

    session: Session
    project: str | None
    policy: Policy
    reading: Reading
    gathered: Gathered
    plan: Plan

    def taken(self, kind: str, family: str, found: Mapping[str, T]) -> list[T]:
        there = imports.holders(self.session, kind, list(found))
        kept = []
        for object_id, value in found.items():
            holder = there.get(object_id)
            verb: Verb | None = "new" if holder is None else None
            if holder is not None:
                verb = self._verb(kind, object_id, holder.project)
            if verb is None:
                continue
            self.plan.count(family, verb)
            if verb != "skipped":
                kept.append(value)
        return kept

    def _verb(self, kind: str, object_id: str, project: str) -> Verb | None:
        if project != self.project:
            self.refuse(
                kind, object_id, f"{object_id} belongs to another project of this data folder."
            )
            return None
        if self.policy == "fail":
            self.refuse(
                kind,
                object_id,
                f"{object_id} is there already (see --on-conflict: skip or replace).",
            )
            return None
        return "replaced" if self.policy == "replace" else "skipped"

    def refuse(self, kind: str, object_id: str, why: str) -> None:
        self.reading.refuse(self.gathered.place(kind, object_id), why)


def plan_import(
    session: Session,
    project: str | None,
    gathered: Gathered,
    reading: Reading,
    policy: Policy,
    *,
    knows_model: Callable[[str], bool],
) -> Plan:
    """``project`` is None where it is going to be made. What cannot be done is added to
    ``reading.problems``."""
    plan = Plan(notes=list(gathered.notes))
    decider = _Decider(session, project, policy, reading, gathered, plan)
    _plan_files(decider)
    plan.assistants = decider.taken("assistant", "assistants", gathered.assistants)
    plan.present = _present(session, project, plan, gathered)
    _plan_stores(decider)
    _plan_threads(decider)
    names = {assistant.model for assistant in plan.assistants}
    if unknown := sorted(name for name in names if not knows_model(name)):
        plan.notes.append(
            f"Assistants name models that are not here: {', '.join(unknown[:10])}. Give those "
            "names to a model with models.aliases, or change the assistants."
        )
    return plan


def _plan_files(decider: _Decider) -> None:
    gathered, plan = decider.gathered, decider.plan
    alive = {
        file_id: file
        for file_id, file in gathered.files.items()
        if file.expires_at is None or file.expires_at > clock.now()
    }
    if expired := len(gathered.files) - len(alive):
        plan.notes.append(f"{expired} files had expired and are left out.")
    # A content that comes for a record without one is no conflict.
    empty = imports.without_content(decider.session, list(alive))
    filled = {i: file for i, file in alive.items() if i in empty and i in gathered.contents}
    holders = imports.holders(decider.session, "file", list(filled))
    filled = {i: f for i, f in filled.items() if holders[i].project == decider.project}
    rest = {file_id: file for file_id, file in alive.items() if file_id not in filled}
    plan.files = [*filled.values(), *decider.taken("file", "files", rest)]
    if filled:
        plan.count("files", "replaced", len(filled))
    for file in plan.files:
        part = gathered.contents.get(file.id)
        if part is not None and part.size_bytes > MAX_UPLOAD_BYTES:
            decider.refuse(
                "file", file.id, f"{part.name} is larger than 8 GB, the most a file can have."
            )
    plan.lost = {file.id for file in plan.files if file.id not in gathered.contents}
    if plan.lost:
        plan.notes.append(
            f"Files without their content: {len(plan.lost)}. They are listed with the status "
            "'error', messages and citations that name them stay readable, and nothing can read "
            "or search them. Importing again with the contents fills them in."
        )


def _present(session: Session, project: str | None, plan: Plan, gathered: Gathered) -> set[str]:
    """The ids of files that will be there."""
    coming = {file.id for file in plan.files}
    wanted = gathered.named_files - coming
    known = imports.holders(session, "file", list(wanted))
    present = coming | {file_id for file_id, who in known.items() if who.project == project}
    if missing := len(gathered.named_files - present):
        plan.notes.append(f"Files that are named, and neither in it nor here: {missing}.")
    return present


def _plan_stores(decider: _Decider) -> None:
    gathered, plan = decider.gathered, decider.plan
    there = plan.present
    for store in decider.taken("vector_store", "vector stores", gathered.stores):
        members = [file for file in gathered.store_files.get(store.id, ()) if file.id in there]
        plan.stores.append((store, members))
    if missing := sum(
        file.id not in there for members in gathered.store_files.values() for file in members
    ):
        plan.notes.append(f"{missing} entries of vector stores are left out: their files are gone.")


def _plan_threads(decider: _Decider) -> None:
    gathered, plan = decider.gathered, decider.plan
    plan.threads = decider.taken("thread", "threads", {each: each for each in gathered.threads})
    for busy in sorted(imports.busy_threads(decider.session, plan.threads)):
        decider.refuse("thread", busy, f"A run is active on {busy}.")
    taken = set(plan.threads)
    for kind, family in (
        ("thread.message", "messages"),
        ("thread.run", "runs"),
        ("thread.run.step", None),
    ):
        coming = ((i, owner) for i, owner in gathered.staging.ids(kind) if owner in taken)
        number = 0
        for portion in in_portions(coming):
            number += len(portion)
            owners = dict(portion)
            for object_id, holder in imports.holders(decider.session, kind, list(owners)).items():
                if holder.thread_id != owners[object_id]:
                    decider.refuse(kind, object_id, f"{object_id} is in another thread here.")
        if family is not None:
            plan.count(family, "new", number)
