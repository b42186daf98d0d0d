"""Objects of a project into an export, as the API shows them, all of one moment."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from localassist.archive.export_file import ExportManifest, ExportWriter
from localassist.archive.reading import CONTENT
from localassist.archive.references import FILE, references
from localassist.archive.workspace import workspace
from localassist.disk import sync_folder
from localassist.errors import ConfigError, StorageCorrupt
from localassist.schemas.base import ListQuery, Page
from localassist.storage import (
    assistants,
    files,
    messages,
    run_steps,
    runs,
    store_files,
    threads,
    vector_stores,
)
from localassist.storage.blobs import NO_CONTENT, Blob, BlobStore
from localassist.storage.database import Session

Progress = Callable[[str, int, int], None]
_PAGE = 100


@dataclass(frozen=True, slots=True)
class Selection:
    """What to export: everything, or these objects with what they name. ``with_contents`` False
    leaves the bytes of files behind."""

    assistant_ids: Sequence[str] = ()
    thread_ids: Sequence[str] = ()
    with_contents: bool = True

    @property
    def is_everything(self) -> bool:
        return not self.assistant_ids and not self.thread_ids


@dataclass(slots=True)
class Exported:
    """``lost`` are the ids of files whose content the data folder does not have."""

    path: Path
    manifest: ExportManifest
    size_bytes: int
    lost: list[str] = field(default_factory=list)


def write_export(
    session: Session,
    blobs: BlobStore,
    project: str,
    project_name: str,
    target: Path,
    selection: Selection,
    on_progress: Progress,
) -> Exported:
    """Write the export, which appears under its name once it is complete. Raises ConfigError,
    ResourceNotFound for an object that is not there, and StorageUnavailable."""
    if target.exists():
        raise ConfigError(f"{target} exists; choose another name.")
    if target.suffix.lower() != ".zip":
        raise ConfigError(f"An export is a zip archive: call it {target.name}.zip.")
    with workspace(target.absolute().parent) as desk:
        made = desk / "export"
        writer = ExportWriter(made)
        try:
            lost = _write(session, blobs, project, selection, writer, on_progress)
            manifest = writer.finish(project_name)
        finally:
            writer.close()
        os.chmod(made, 0o600)
        on_progress("writing", 1, 1)
        size_bytes = made.stat().st_size
        made.rename(target)
        sync_folder(target.absolute().parent)
    return Exported(target, manifest, size_bytes, lost)


def _write(
    session: Session,
    blobs: BlobStore,
    project: str,
    selection: Selection,
    writer: ExportWriter,
    progress: Progress,
) -> list[str]:
    named: dict[str, set[str]] = {FILE: set(), "vector_store": set()}

    def noted(values: Iterator[Any]) -> Iterator[dict[str, Any]]:
        for value in values:
            dumped = value.dump()
            for kind, object_id in references(dumped):
                named[kind].add(object_id)
            yield dumped

    writer.lines("assistants.jsonl", noted(_assistants(session, project, selection)))
    thread_ids = selection.thread_ids
    if selection.is_everything:
        thread_ids = threads.all_ids(session, project)
    found = (threads.get(session, project, thread_id) for thread_id in dict.fromkeys(thread_ids))
    writer.lines("threads.jsonl", noted(found))
    for number, thread_id in enumerate(thread_ids):
        progress("threads", number, len(thread_ids))
        _write_thread(session, project, thread_id, writer, noted)
    store_ids = None if selection.is_everything else named["vector_store"]
    found_stores = [
        store
        for store in _all(lambda query: vector_stores.list_page(session, project, query))
        if store_ids is None or store.id in store_ids
    ]
    writer.lines("vector_stores.jsonl", noted(iter(found_stores)))
    members = (file for store in found_stores for file in _members(session, project, store.id))
    writer.lines("vector_store_files.jsonl", _with_ids(members, named[FILE]))
    wanted = None if selection.is_everything else named[FILE]
    kept = [
        file
        for file in _all(lambda query: files.list_page(session, project, query, None))
        if wanted is None or file.id in wanted
    ]
    writer.lines("files.jsonl", (file.dump() for file in kept))
    return _write_contents(session, blobs, kept, writer, selection.with_contents, progress)


def _write_thread(
    session: Session,
    project: str,
    thread_id: str,
    writer: ExportWriter,
    noted: Callable[[Iterator[Any]], Iterator[dict[str, Any]]],
) -> None:
    name = f"{thread_id}.jsonl"
    said = _all(lambda q: messages.list_page(session, project, thread_id, q, None))
    writer.lines(f"messages/{name}", noted(said))
    made = list(_all(lambda q: runs.list_page(session, project, thread_id, q)))
    writer.lines(f"runs/{name}", noted(iter(made)))

    def steps() -> Iterator[Any]:
        for run in made:
            row = runs.any_row(session, run.id)
            yield from _all(partial(run_steps.list_page, session, row))

    writer.lines(f"steps/{name}", noted(steps()))
    session.expunge_all()  # or the whole project is held in memory


def _write_contents(
    session: Session,
    blobs: BlobStore,
    kept: Sequence[Any],
    writer: ExportWriter,
    is_wanted: bool,
    progress: Progress,
) -> list[str]:
    lost, written = [], []
    total, done = sum(file.bytes for file in kept), 0
    for file in kept if is_wanted else ():
        blob = files.blob_of(session, file.id)
        if blob is None or not _write_content(blobs, blob, writer):
            lost.append(file.id)
        else:
            known = {"object": CONTENT, "file_id": file.id, "sha256": blob.sha256}
            written.append({**known, "bytes": blob.size_bytes})
        done += file.bytes
        progress("files", done, total)
    writer.lines("contents.jsonl", written)
    return lost


def _write_content(blobs: BlobStore, blob: Blob, writer: ExportWriter) -> bool:
    """Whether the content was there and whole."""
    if blob.sha256 == NO_CONTENT:
        return False
    try:
        blobs.check(blob)
        with blobs.path(blob.sha256).open("rb") as file:
            return writer.content(blob.sha256, file)
    except (StorageCorrupt, FileNotFoundError):
        return False


def _assistants(session: Session, project: str, selection: Selection) -> Iterator[Any]:
    if selection.is_everything:
        yield from _all(lambda query: assistants.list_page(session, project, query))
    for assistant_id in dict.fromkeys(selection.assistant_ids):
        yield assistants.get(session, project, assistant_id)


def _members(session: Session, project: str, store_id: str) -> Iterator[Any]:
    return _all(lambda query: store_files.list_page(session, project, store_id, query))


def _with_ids(members: Iterator[Any], file_ids: set[str]) -> Iterator[dict[str, Any]]:
    for member in members:
        file_ids.add(member.id)
        yield member.dump()


def _all(load: Callable[[ListQuery], Page[Any]]) -> Iterator[Any]:
    """Everything that a list has, oldest first."""
    after = None
    while True:
        page = load(ListQuery(limit=_PAGE, order="asc", after=after))
        yield from page.data
        if not page.has_more:
            return
        after = page.last_id
