"""Folders of documents into vector stores: find the files, upload what is new, wait for the rest.

Works with a server elsewhere just as in this process. A file is known again by its path and the
SHA-256 of its content, which are kept as attributes, so adding a folder twice uploads nothing and a
file that has changed takes the place of its older self. What an interrupted call left to be read is
waited for, not uploaded again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
from openai.types import VectorStore as VectorStore
from openai.types.vector_stores import VectorStoreFile

from localassist.client.client import explain, health
from localassist.disk import sha256_of

PATH, SHA256 = "path", "sha256"
_BATCH_FILES = 500
_POLL_SECONDS = 0.2
_LONGEST_PATH = 512  # of an attribute's value


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file to add; ``name`` is its path as the user would say it, within the folder given."""

    path: Path
    name: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that could not be made searchable, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Added:
    """What became of the files: counts, and who failed. ``removed`` were no longer there."""

    added: int = 0
    unchanged: int = 0
    removed: int = 0
    failures: tuple[Failure, ...] = ()


Progress = Callable[[str, float, int], None]
"""Called with ``uploading``, ``opening`` (the embedding model, which reading waits for) or
``reading``, the number of files done, parts of one included, and of all."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file that the store has. ``digest`` is empty where nobody has told it."""

    file_id: str
    digest: str
    status: str

    @property
    def is_bad(self) -> bool:
        """It failed or was cancelled: it is tried again."""
        return self.status not in ("completed", "in_progress")


def find_files(paths: Iterable[Path]) -> list[LocalFile]:
    """The files meant by ``paths``: folders stand for everything in them that is not hidden.

    Raises FileNotFoundError.
    """
    found: dict[Path, LocalFile] = {}
    for path in paths:
        if path.is_dir():
            for file in _within(path):
                found.setdefault(file.resolve(), LocalFile(file, file.relative_to(path).as_posix()))
        elif path.is_file():
            found.setdefault(path.resolve(), LocalFile(path, path.name))
        else:
            raise FileNotFoundError(f"There is no file or folder {path}.")
    return list(found.values())


def add_files(
    client: openai.OpenAI,
    store_id: str,
    files: Sequence[LocalFile],
    *,
    is_whole: bool = False,
    on_progress: Progress = lambda what, done, total: None,
) -> Added:
    """Bring ``files`` into the store and wait until all can be searched, or have failed.

    With ``is_whole`` they are all the store shall have: what it has of others is removed. Raises
    what the SDK raises; what was added by then stays, and a second call goes on from there.
    """
    known = _known(client, store_id)
    digests = {file.name: sha256_of(file.path) for file in files}
    current = {name: _current(known.get(name, ()), digest) for name, digest in digests.items()}
    fresh = [file for file in files if current[file.name] is None]
    begun = {
        entry.file_id: name
        for name, entry in current.items()
        if entry is not None and entry.status == "in_progress"
    }
    reading = _Reading(client, len(begun) + len(fresh), on_progress)
    failures = _removed(client, store_id, _finish(client, store_id, begun, reading))
    for number, group in enumerate(_grouped(fresh)):
        before = number * _BATCH_FILES
        entries, refused = _upload(client, group, digests, before, len(fresh), on_progress)
        failures += refused
        failures += _attach(client, store_id, entries, len(begun) + before, reading)
    failed = {failure.name for failure in failures}
    # Only now, so that an older self can be found until the newer one can.
    gone = known.keys() - digests.keys() if is_whole else set()
    replaced = (digests.keys() - failed) | gone
    for name in known.keys() & (digests.keys() | gone):
        for entry in known[name]:
            if entry != current.get(name) and (name in replaced or entry.is_bad):
                _remove(client, store_id, entry.file_id)
    return Added(
        added=len(fresh) + len(begun) - len(failures),
        unchanged=len(files) - len(fresh) - len(begun),
        removed=len(gone),
        failures=tuple(failures),
    )


def read_files(
    client: openai.OpenAI, store_id: str, names: dict[str, str], on_progress: Progress
) -> list[Failure]:
    """Wait until the store's files, ``names`` by id, can be searched; those that fail leave it, but
    are not deleted: code may read them. Raises what the SDK raises."""
    failures = _finish(client, store_id, names, _Reading(client, len(names), on_progress))
    for file_id in failures:
        _detach(client, store_id, file_id)
    return list(failures.values())


class _Reading:
    """How far the store is with the files it was given; only ever forward."""

    def __init__(self, client: openai.OpenAI, total: int, on_progress: Progress) -> None:
        self._client = client
        self._total = total
        self._on_progress = on_progress
        self._done = 0.0

    def show(self, done: int, file_ids: Collection[str]) -> None:
        """``done`` files are finished; of those of ``file_ids`` that are not, a part may be."""
        state = self._health()
        parts = (
            file["units"] / file["total_units"]
            for file in state.get("ingest", ())
            if file["file_id"] in file_ids and file["total_units"]
        )
        self._done = max(self._done, min(done + sum(parts), self._total))
        what = "opening" if state.get("embedders_loading") else "reading"
        self._on_progress(what, self._done, self._total)

    def _health(self) -> dict[str, Any]:
        try:
            return health(self._client)
        except openai.APIError:  # another server need not have it
            return {}


def _within(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _within(path)
        elif path.is_file():
            yield path


def _known(client: openai.OpenAI, store_id: str) -> dict[str, list[_Entry]]:
    """What was added to the store before, by name; more than one where a call was interrupted."""
    known: dict[str, list[_Entry]] = {}
    for file in client.vector_stores.files.list(store_id, limit=100):
        attributes = file.attributes or {}
        if PATH in attributes:
            entry = _Entry(file.id, str(attributes.get(SHA256, "")), file.status)
            known.setdefault(str(attributes[PATH]), []).append(entry)
    return known


def _current(entries: Iterable[_Entry], digest: str) -> _Entry | None:
    """The entry with this content, rather one that can be searched already."""
    same = [entry for entry in entries if entry.digest == digest and not entry.is_bad]
    return min(same, key=lambda entry: entry.status != "completed", default=None)


def _finish(
    client: openai.OpenAI, store_id: str, begun: dict[str, str], reading: _Reading
) -> dict[str, Failure]:
    """Wait for files that are in the store but not read yet; those that fail, by id."""
    files = client.vector_stores.files
    pending = set(begun)
    while pending:
        entries = files.list(store_id, filter="in_progress", limit=100)
        pending = pending & {file.id for file in entries}
        reading.show(len(begun) - len(pending), pending)
        if pending:
            time.sleep(_POLL_SECONDS)
    if not begun:
        return {}
    return _failures(files.list(store_id, filter="failed", limit=100), begun)


def _upload(
    client: openai.OpenAI,
    group: Sequence[LocalFile],
    digests: dict[str, str],
    before: int,
    total: int,
    on_progress: Progress,
) -> tuple[dict[str, dict[str, Any]], list[Failure]]:
    """The batch entries of the uploaded files, by name, and the files that were refused."""
    entries: dict[str, dict[str, Any]] = {}
    refused: list[Failure] = []
    try:
        for number, file in enumerate(group):
            on_progress("uploading", before + number, total)
            if len(file.name) > _LONGEST_PATH:
                refused.append(Failure(file.name, "The path is too long."))
                continue
            try:
                made = client.files.create(file=file.path, purpose="assistants")
            except openai.BadRequestError as error:
                refused.append(Failure(file.name, explain(error)))
                continue
            attributes = {PATH: file.name, SHA256: digests[file.name]}
            entries[file.name] = {"file_id": made.id, "attributes": attributes}
        on_progress("uploading", before + len(group), total)
    except BaseException:  # they are in no store yet, where the next call would find them
        for entry in entries.values():
            client.files.delete(entry["file_id"])
        raise
    return entries, refused


def _attach(
    client: openai.OpenAI,
    store_id: str,
    entries: dict[str, dict[str, Any]],
    before: int,
    reading: _Reading,
) -> list[Failure]:
    """Attach the files and wait; those that fail leave the store again."""
    refused: list[Failure] = []
    batches = client.vector_stores.file_batches
    while entries:
        try:
            batch = batches.create(store_id, files=list(entries.values()))  # type: ignore[arg-type]
            break
        except openai.BadRequestError as error:
            if error.code != "unsupported_file":
                raise
            refused += _refused_one_by_one(client, store_id, entries)
    else:
        return refused
    names = {entry["file_id"]: name for name, entry in entries.items()}
    while True:
        done = before + len(refused) + batch.file_counts.total - batch.file_counts.in_progress
        reading.show(done, names)
        if not batch.file_counts.in_progress:
            break
        time.sleep(_POLL_SECONDS)
        batch = batches.retrieve(batch.id, vector_store_id=store_id)
    failed = batches.list_files(batch.id, vector_store_id=store_id, filter="failed", limit=100)
    return refused + _removed(client, store_id, _failures(failed, names))


def _failures(failed: Iterable[VectorStoreFile], names: dict[str, str]) -> dict[str, Failure]:
    """Why files failed that ``names`` has, by id."""
    failures = {}
    for file in failed:
        if file.id in names:
            reason = file.last_error.message if file.last_error is not None else "It failed."
            failures[file.id] = Failure(names[file.id], reason)
    return failures


def _removed(client: openai.OpenAI, store_id: str, failures: dict[str, Failure]) -> list[Failure]:
    """The failures, once their files are gone."""
    for file_id in failures:
        _remove(client, store_id, file_id)
    return list(failures.values())


def _refused_one_by_one(
    client: openai.OpenAI, store_id: str, entries: dict[str, dict[str, Any]]
) -> list[Failure]:
    """Take the files out of ``entries`` that a store does not take: a batch with one of them is
    refused whole."""
    refused = []
    for name, entry in list(entries.items()):
        try:
            client.vector_stores.files.create(store_id, **entry)
        except openai.BadRequestError as error:
            refused.append(Failure(name, explain(error)))
            client.files.delete(entry["file_id"])
            del entries[name]
    return refused


def _remove(client: openai.OpenAI, store_id: str, file_id: str) -> None:
    _detach(client, store_id, file_id)
    with suppress(openai.NotFoundError):
        client.files.delete(file_id)


def _detach(client: openai.OpenAI, store_id: str, file_id: str) -> None:
    with suppress(openai.NotFoundError):  # someone else was quicker
        client.vector_stores.files.delete(file_id, vector_store_id=store_id)


def _grouped(files: Sequence[LocalFile]) -> list[Sequence[LocalFile]]:
    return [files[at : at + _BATCH_FILES] for at in range(0, len(files), _BATCH_FILES)]
