"""What the commands about documents share: bars while they are added, and the report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localassist.cli.output import EXIT_FAILURE, err_console, fail, progress_bar, report

if TYPE_CHECKING:
    from localassist.client.client import LocalAssist
    from localassist.client.documents import Added, LocalFile
    from localassist.settings import Settings

_FOLDER = "folder"
_LONGEST_METADATA = 512
# What ``client.documents.Progress`` tells.
READING = {
    "uploading": "Uploading",
    "opening": "Opening the embedding model; half a minute the first time",
    "reading": "Reading",
}


@contextmanager
def connected(settings: Settings) -> Iterator[LocalAssist]:
    """A client; what the API refuses ends the command with its sentence."""
    from localassist.client.client import APIError, LocalAssist, explain

    try:
        with LocalAssist(settings=settings) as client:
            yield client
    except APIError as error:
        fail(explain(error), EXIT_FAILURE)


def files_in(paths: Sequence[Path]) -> list[LocalFile]:
    """The files that ``paths`` mean; ends the command when one is not there."""
    from localassist.client.documents import find_files

    try:
        return find_files(paths)
    except OSError as error:
        fail(error.strerror or str(error))


def add_documents(
    client: LocalAssist, store_id: str, files: Sequence[LocalFile], *, is_whole: bool = False
) -> Added:
    """Add the files behind a progress bar, and name those that failed."""
    from localassist.client.documents import add_files

    with progress_bar() as bar:
        task = bar.add_task(READING["uploading"], total=None)
        shown = "uploading"

        def show(what: str, done: float, total: int) -> None:
            nonlocal shown
            if what != shown:  # a bar of its own: the time left follows from its own speed
                shown = what
                bar.reset(task, description=READING[what])
            bar.update(task, completed=done, total=total)

        try:
            added = add_files(client, store_id, files, is_whole=is_whole, on_progress=show)
        except KeyboardInterrupt:
            report("Stopped. Add the same documents again to continue.")
            raise
    for failure in added.failures:
        report(f"{failure.name}: {failure.reason}")
    return added


def folder_store(client: LocalAssist, folder: Path) -> str:
    """The id of the store that stands for ``folder``, made or brought up to date."""
    if not folder.is_dir():
        fail(f"There is no folder {folder}.")
    files = files_in([folder])
    if not files:
        fail(f"There are no files in {folder}.")
    path = str(folder.resolve())[-_LONGEST_METADATA:]
    stores = client.vector_stores.list(limit=100)
    store = next((one for one in stores if (one.metadata or {}).get(_FOLDER) == path), None)
    if store is None:
        store = client.vector_stores.create(name=folder.resolve().name, metadata={_FOLDER: path})
    added = add_documents(client, store.id, files, is_whole=True)
    report_added(folder.resolve().name, added)
    return store.id


def searching(store_id: str) -> dict[str, Any]:
    """The fields of an assistant that searches a store."""
    return {
        "tools": [{"type": "file_search"}],
        "tool_resources": {"file_search": {"vector_store_ids": [store_id]}},
    }


def report_added(name: str, added: Added) -> None:
    """``handbook: 12 added, 3 unchanged, 1 failed.``"""
    counts = {
        "added": added.added,
        "unchanged": added.unchanged,
        "removed": added.removed,
        "failed": len(added.failures),
    }
    said = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    line = f"{name}: {said or 'no documents'}."
    err_console.print(line, style="dim", markup=False, soft_wrap=True)
