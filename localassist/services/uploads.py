"""Uploads: a large file in parts, which may come at the same time and in any order."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence

from localassist.errors import InvalidRequest
from localassist.schemas import phrases
from localassist.schemas.uploads import (
    MAX_PART_BYTES,
    MAX_UPLOAD_BYTES,
    Upload,
    UploadComplete,
    UploadCreate,
    UploadPart,
)
from localassist.storage import uploads
from localassist.storage.blobs import Blob, BlobStore
from localassist.storage.database import Database, Session


class Uploads:
    """``/uploads``. Parts are streamed to disk, and from there into the file."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs

    async def create(self, project: str, body: UploadCreate) -> Upload:
        return await self._database.write(lambda session: uploads.insert(session, project, body))

    async def add_part(
        self, project: str, upload_id: str, chunks: AsyncIterator[bytes]
    ) -> UploadPart:
        """Raises ResourceNotFound, InvalidRequest when the upload has ended, PayloadTooLarge."""
        await self._database.read(
            lambda session: uploads.check_pending(session, project, upload_id)
        )
        blob = await self._blobs.put(chunks, max_bytes=MAX_PART_BYTES)
        return await self._database.write(
            lambda session: uploads.add_part(session, project, upload_id, blob)
        )

    async def complete(self, project: str, upload_id: str, body: UploadComplete) -> Upload:
        """Put the parts together in the order given. Raises ResourceNotFound, and InvalidRequest
        when the upload has ended or the size or checksum is not what was declared."""
        found = await self._database.read(
            lambda session: uploads.pending(session, project, upload_id, body.part_ids)
        )
        size_bytes = sum(part.size_bytes for part in found.parts)
        if size_bytes != found.size_bytes:
            raise InvalidRequest(
                f"The total bytes of the parts ({size_bytes}) do not match the declared upload "
                f"size ({found.size_bytes})."
            )
        chunks = self._joined(found.parts, body.md5)
        blob = await self._blobs.put(chunks, max_bytes=MAX_UPLOAD_BYTES)

        def change(session: Session) -> tuple[Upload, list[str]]:
            upload = uploads.complete(session, project, upload_id, blob)
            return upload, uploads.drop_parts(session, upload_id)

        return await self._end(change)

    async def cancel(self, project: str, upload_id: str) -> Upload:
        """Raises ResourceNotFound, and InvalidRequest when the upload has ended."""

        def change(session: Session) -> tuple[Upload, list[str]]:
            upload = uploads.cancel(session, project, upload_id)
            return upload, uploads.drop_parts(session, upload_id)

        return await self._end(change)

    async def _end(self, change: Callable[[Session], tuple[Upload, list[str]]]) -> Upload:
        upload, unused = await self._database.write(change)
        for sha256 in unused:
            await asyncio.to_thread(self._blobs.discard, sha256)
        return upload

    async def _joined(self, parts: Sequence[Blob], md5: str | None) -> AsyncIterator[bytes]:
        """The bytes of all parts. Raises InvalidRequest at the end if their checksum is another."""
        digest = hashlib.md5(usedforsecurity=False)
        for part in parts:
            async for chunk in self._blobs.open(part):
                digest.update(chunk)
                yield chunk
        if md5 is not None and md5.lower() != digest.hexdigest():
            raise InvalidRequest(
                f"Invalid 'md5': the parts have the checksum '{digest.hexdigest()}', but got "
                f"'{phrases.shorten(md5)}' instead.",
                param="md5",
                code="invalid_value",
            )
