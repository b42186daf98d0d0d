"""Files: upload, look, download, delete."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from localassist.errors import InvalidRequest, ResourceNotFound
from localassist.schemas.base import Deleted, ListQuery, Page
from localassist.schemas.files import File
from localassist.storage import files, uploads
from localassist.storage.blobs import NO_CONTENT, BlobStore
from localassist.storage.database import Database, Session, after_commit

MAX_FILE_BYTES = 512 * 1024 * 1024


class Files:
    """``/files``. Contents are streamed both ways. ``on_delete`` tells ingest that files may have
    left vector stores."""

    def __init__(
        self, database: Database, blobs: BlobStore, on_delete: Callable[[], None] = lambda: None
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._on_delete = on_delete

    async def create(
        self,
        project: str,
        *,
        filename: str,
        purpose: str,
        chunks: AsyncIterator[bytes],
        expires_after_seconds: int | None = None,
    ) -> File:
        """Store a file. Raises PayloadTooLarge, and InvalidRequest when it is empty."""
        blob = await self._blobs.put(chunks, max_bytes=MAX_FILE_BYTES)
        if blob.size_bytes == 0:
            raise InvalidRequest("File is empty.", param="file")
        return await self._database.write(
            lambda session: files.insert(
                session,
                project,
                filename=filename,
                purpose=purpose,
                blob=blob,
                expires_after=expires_after_seconds,
            )
        )

    async def list(self, project: str, query: ListQuery, purpose: str | None = None) -> Page[File]:
        return await self._database.read(
            lambda session: files.list_page(session, project, query, purpose)
        )

    async def retrieve(self, project: str, file_id: str) -> File:
        return (await self._database.read(lambda session: files.get(session, project, file_id)))[0]

    async def open(self, project: str, file_id: str) -> tuple[File, AsyncIterator[bytes]]:
        """The file and its bytes. Raises ResourceNotFound, and StorageCorrupt when the content is
        missing or has another size."""
        file, blob = await self._database.read(lambda session: files.get(session, project, file_id))
        if blob.sha256 == NO_CONTENT:
            raise ResourceNotFound(
                f"The content of {file_id} was not there when the file was imported."
            )
        await asyncio.to_thread(self._blobs.check, blob)
        return file, self._blobs.open(blob)

    async def delete(self, project: str, file_id: str) -> Deleted:
        def change(session: Session) -> str | None:
            after_commit(session, self._on_delete)
            return files.delete(session, project, file_id)

        unused = await self._database.write(change)
        if unused is not None:
            await asyncio.to_thread(self._blobs.discard, unused)
        return Deleted(id=file_id, object="file")

    async def sweep(self) -> None:
        """Remove expired files and uploads, and contents that nothing names any more."""
        await self._database.write(files.delete_expired)
        await self._database.write(uploads.expire)
        recorded = await self._database.read(files.recorded_contents)
        await asyncio.to_thread(self._blobs.sweep, recorded.__contains__)
