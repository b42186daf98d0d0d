"""What code leaves behind, stored as files with the purpose ``assistants_output``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TypeVar

from localassist import ids
from localassist.errors import StorageUnavailable
from localassist.sandbox.files import NotKept, Output, open_output, opened_folder
from localassist.sandbox.limits import Limits
from localassist.sandbox.names import free_name, readable, safe_name
from localassist.sandbox.outputs import Image
from localassist.services.code_folder import Changes, CodeFolder, shown
from localassist.services.files import MAX_FILE_BYTES
from localassist.storage import code_files, files
from localassist.storage.blobs import Blob, BlobStore
from localassist.storage.database import Database, Session

PURPOSE = "assistants_output"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kept:
    """Files that code has written, readable path to file id, and sentences about what was not
    kept."""

    files: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class CodeOutputs:
    """Stores contents first, then all rows of one piece of code in one transaction."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs

    async def keep_image(self, project: str, image: Image) -> str:
        """Store an image that was shown, named after its id; returns the id. Raises
        StorageUnavailable."""
        file_id = ids.new_id("file")
        blob = await self._blobs.put(_once(image.data), max_bytes=len(image.data))
        await self._database.write(
            lambda session: files.insert(
                session,
                project,
                filename=f"{file_id}{image.suffix}",
                purpose=PURPOSE,
                blob=blob,
                expires_after=None,
                file_id=file_id,
            )
        )
        return file_id

    async def collect(
        self, project: str, thread_id: str, folder: CodeFolder, limits: Limits
    ) -> Kept:
        """Store what code has written since the last time. Raises StorageUnavailable when nothing
        could be recorded, NotKept when the folder cannot be read."""
        changes = await asyncio.to_thread(_changes, folder, limits)
        blobs, notes = await self._contents(changes, folder, limits)
        made = await self._record(project, thread_id, changes.gone, blobs)
        # Not before: what is cancelled or fails on the way is tried again after the next code.
        folder.accept(changes, made)
        return Kept(made, tuple(notes))

    async def _record(
        self, project: str, thread_id: str, gone: Sequence[str], blobs: Mapping[str, Blob]
    ) -> dict[str, str]:
        """Files of these contents by path; returns their ids by readable path."""
        if not blobs and not gone:
            return {}
        paths: dict[str, str] = {}  # as the file system has them
        for path in blobs:
            paths[free_name(readable(path), paths)] = path

        def store(session: Session) -> dict[str, str]:
            made = {
                name: files.insert(
                    session,
                    project,
                    filename=safe_name(PurePosixPath(name).name),
                    purpose=PURPOSE,
                    blob=blobs[path],
                    expires_after=None,
                ).id
                for name, path in paths.items()
            }
            code_files.forget(session, thread_id, gone)
            code_files.record(session, thread_id, made)
            return made

        return await self._database.write(store)

    async def _contents(
        self, changes: Changes, folder: CodeFolder, limits: Limits
    ) -> tuple[dict[str, Blob], list[str]]:
        """The contents of changed files by path, all together no more than the disk that code may
        use, and what is to be said of the others."""
        blobs: dict[str, Blob] = {}
        notes = list(changes.notes)
        room = limits.disk_mb * 2**20 + folder.given_bytes
        for path in changes.files:
            try:
                blob = await self._content(folder, path, min(room, MAX_FILE_BYTES))
            except NotKept as error:
                notes.append(f"Not kept: {shown(path)} ({error}).")
            except StorageUnavailable as error:
                notes.append(f"{shown(path)} could not be kept: {error.message}")
            else:
                blobs[path] = blob
                room -= blob.size_bytes
        return blobs, notes

    async def _content(self, folder: CodeFolder, path: str, max_bytes: int) -> Blob:
        def opened() -> Output:
            with opened_folder(folder.data) as descriptor:
                return open_output(descriptor, path, max_bytes=max_bytes)

        output = await asyncio.to_thread(opened)
        try:
            return await self._blobs.put(_in_thread(output.chunks()), max_bytes=max_bytes)
        finally:
            output.close()


def _changes(folder: CodeFolder, limits: Limits) -> Changes:
    try:
        return folder.changes(max_entries=limits.files, max_files=limits.output_files)
    except OSError as error:
        raise NotKept(f"the folder cannot be read: {error.strerror}") from error


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def _in_thread(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
        yield chunk
