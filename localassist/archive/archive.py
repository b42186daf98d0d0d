"""Exports and imports of a data folder, also beside a server that works on it."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from localassist.archive.applying import apply
from localassist.archive.documents import is_json
from localassist.archive.export import Exported, Progress, Selection, write_export
from localassist.archive.export_file import checked_manifest
from localassist.archive.gathering import Gathered, gather
from localassist.archive.planning import Plan, Policy, plan_import
from localassist.archive.reading import Reading
from localassist.archive.sources import Part, Source, opened_source
from localassist.archive.staging import Staging, opened_staging
from localassist.archive.workspace import check_room, workspace
from localassist.errors import ConfigError, ShuttingDown, StorageUnavailable
from localassist.schemas.uploads import MAX_UPLOAD_BYTES
from localassist.services.attachments import Attachments
from localassist.storage import imports, projects
from localassist.storage.blobs import Blob, BlobStore
from localassist.storage.database import Database, Session, is_alone

T = TypeVar("T")
# What objects take on disk while they wait, of what they take as JSON.
_STAGED_SHARE = 2


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did, or with ``is_dry`` would do. ``problems`` keep it from being made, each
    with its place; ``unknown_fields`` were kept out, and how often; ``others`` are objects of kinds
    that are not imported; ``waiting`` how many files are to be read into vector stores."""

    is_dry: bool
    problems: Sequence[str] = ()
    tally: dict[str, Counter[str]] = field(default_factory=dict)
    notes: Sequence[str] = ()
    unknown_fields: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    waiting: int = 0
    left_out: Sequence[str] = ()


class Archive:
    """Made by ``runtime.open_archive``. ``knows_model`` tells whether a name means a model,
    ``embedder_id`` names the embedding model of new stores."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        blob_folder: Path,
        attachments: Attachments,
        embedder_id: Callable[[], str],
        knows_model: Callable[[str], bool],
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._blob_folder = blob_folder
        self._attachments = attachments
        self._embedder_id = embedder_id
        self._knows_model = knows_model

    async def export(
        self,
        project: str,
        target: Path,
        selection: Selection,
        on_progress: Progress = lambda *_: None,
    ) -> Exported:
        """Write the project of this name, or a selection of it, to ``target``. Raises ConfigError,
        ResourceNotFound and StorageUnavailable; then there is no file."""

        def write(session: Session, told: Progress) -> Exported:
            project_id = projects.find(session, project)
            if project_id is None:
                raise ConfigError(f"There is no project '{project}': {projects.names(session)}.")
            return write_export(session, self._blobs, project_id, project, target, selection, told)

        return await _stoppable(
            lambda told: self._database.read(lambda session: write(session, told)), on_progress
        )

    async def load(
        self,
        path: Path,
        project: str,
        *,
        policy: Policy = "fail",
        is_dry: bool = False,
        skip_invalid: bool = False,
        shorten: bool = False,
        on_progress: Progress = lambda *_: None,
    ) -> Imported:
        """Import into the project of this name, which is made where there is none: all of it in one
        transaction, or nothing. ``skip_invalid`` leaves out what is wrong instead of refusing the
        whole, ``shorten`` cuts labels that are too long. Raises ConfigError when ``path`` cannot be
        read, and StorageUnavailable."""
        with (
            opened_source(path) as source,
            workspace(self._blob_folder.parent) as desk,
            opened_staging(desk) as staging,
        ):
            reading, gathered = await _stoppable(
                lambda told: asyncio.to_thread(_read, source, staging, desk.parent, told, shorten),
                on_progress,
                is_last=False,
            )
            if not reading.taken and not reading.problems:
                raise ConfigError(f"There are no objects of the API in {path}.")
            invalid = list(reading.problems)
            reading.problems.clear()
            plan = await self._database.read(
                lambda session: self._plan(session, project, gathered, reading, policy)
            )
            problems = [*reading.problems] if skip_invalid else [*invalid, *reading.problems]
            left_out = invalid if skip_invalid else []
            if problems or is_dry:
                return self._report(reading, plan, problems, left_out, is_dry=is_dry)
            blobs = await self._store_contents(source, gathered, plan, on_progress)

            def decide(session: Session) -> Plan | None:
                again = self._plan(session, project, gathered, reading, policy)
                return None if reading.problems else again

            plan = await self._apply(project, decide, blobs, gathered, on_progress) or plan
        return self._report(reading, plan, reading.problems, left_out, is_dry=False)

    def _plan(
        self, session: Session, project: str, gathered: Gathered, reading: Reading, policy: Policy
    ) -> Plan:
        project_id = projects.find(session, project)
        return plan_import(
            session, project_id, gathered, reading, policy, knows_model=self._knows_model
        )

    def _report(
        self,
        reading: Reading,
        plan: Plan,
        problems: Sequence[str],
        left_out: Sequence[str],
        *,
        is_dry: bool,
    ) -> Imported:
        waiting = sum(
            file.status == "in_progress" and file.id not in plan.lost
            for _, members in plan.stores
            for file in members
        )
        return Imported(
            is_dry,
            problems,
            plan.tally,
            [*plan.notes, *reading.shortened],
            reading.unknown_fields,
            reading.others,
            waiting,
            left_out,
        )

    async def _store_contents(
        self, source: Source, gathered: Gathered, plan: Plan, on_progress: Progress
    ) -> dict[str, Blob]:
        """Contents into the blob store, where they wait for their rows; without those they go with
        the next sweep."""
        wanted = {
            file.id: gathered.contents[file.id]
            for file in plan.files
            if file.id in gathered.contents
        }
        total = sum(part.size_bytes for part in wanted.values())
        check_room(self._blob_folder, total)
        done = 0
        blobs = {}
        for file_id, part in wanted.items():
            on_progress("files", done, total)
            blobs[file_id] = await self._blobs.put(
                _streamed(source, part), max_bytes=MAX_UPLOAD_BYTES
            )
            done += part.size_bytes
        return blobs

    async def _apply(
        self,
        project: str,
        decide: Callable[[Session], Plan | None],
        blobs: dict[str, Blob],
        gathered: Gathered,
        on_progress: Progress,
    ) -> Plan | None:
        """Write what ``decide`` finds that is to be written. Others may have written since it was
        planned; now nobody can."""

        def change(session: Session, told: Progress) -> Plan | None:
            if not is_alone(session.connection(), "import"):
                raise StorageUnavailable("Another import is under way: wait for its end.")
            imports.hold_threads(session, gathered.threads.keys())
            plan = decide(session)
            if plan is None:
                return None
            coming = {file.id for file in plan.files if file.id in gathered.contents}
            if not coming <= blobs.keys():
                raise StorageUnavailable("Files have gone since the import began: try again.")
            for blob in blobs.values():
                self._blobs.check(blob)
            apply(
                session,
                projects.find_or_make(session, project),
                plan,
                gathered,
                blobs,
                self._attachments,
                self._embedder_id,
                lambda done, total: told("objects", done, total),
            )
            return plan

        return await _stoppable(
            lambda told: self._database.write(lambda session: change(session, told)), on_progress
        )


def _read(
    source: Source, staging: Staging, room: Path, told: Progress, shortens: bool
) -> tuple[Reading, Gathered]:
    parts = source.parts()
    json_bytes = sum(part.size_bytes for part in parts if is_json(part.name))
    check_room(room, _STAGED_SHARE * json_bytes)
    checked_manifest(source, parts)
    return gather(
        source, staging, lambda done, total: told("reading", done, total), shortens=shortens
    )


async def _streamed(source: Source, part: Part) -> AsyncIterator[bytes]:
    for chunk in source.chunks(part):
        yield chunk


async def _stoppable(
    work: Callable[[Progress], Awaitable[T]], on_progress: Progress, *, is_last: bool = True
) -> T:
    """Do work that lives in a thread, and when whoever waits for it is cancelled, end it at its
    next step, so that what is undone then is undone before anybody hears of it. The last work that
    is over before it could be stopped has been done."""
    stopped = threading.Event()

    def told(doing: str, done: int, total: int) -> None:
        if stopped.is_set():
            raise ShuttingDown("It was stopped.")
        on_progress(doing, done, total)

    task = asyncio.ensure_future(work(told))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stopped.set()
        await asyncio.wait({task})
        was_done = not task.cancelled() and task.exception() is None  # also takes note of it
        if is_last and was_done:
            return task.result()
        raise
