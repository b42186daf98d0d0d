"""Blobs: file contents on disk, named by their SHA-256, written atomically.

Equal contents are stored once. A blob appears under its final name only when it is complete and
synced, so a crash or a full disk leaves at most a temporary file that the next start removes.
Knows nothing of the database; whoever deletes the last row that names a blob deletes the blob.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from localassist.disk import sync_folder
from localassist.errors import PayloadTooLarge, StorageCorrupt, StorageUnavailable

CHUNK_BYTES = 1 << 20
NO_CONTENT = ""
"""In place of the SHA-256 of a file that was imported without its content."""
_STALE_SECONDS = 24 * 3600
_GRACE_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Blob:
    """A stored content: hexadecimal SHA-256 and size."""

    sha256: str
    size_bytes: int


class BlobStore:
    """A folder of blobs, safe for several processes at once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / "incoming"
        try:
            self._incoming.mkdir(parents=True, exist_ok=True)
            self._remove_stale()
        except OSError as error:
            raise StorageUnavailable(
                f"The folder {root} cannot be written: {error.strerror}."
            ) from error

    def path(self, sha256: str) -> Path:
        """Where the blob lies, whether it exists or not."""
        return self._root / sha256[:2] / sha256

    async def put(self, chunks: AsyncIterator[bytes], *, max_bytes: int) -> Blob:
        """Store a stream without holding it in memory.

        Raises PayloadTooLarge beyond ``max_bytes`` and StorageUnavailable when the disk fails; in
        both cases, and when cancelled, nothing remains.
        """
        temporary = self._incoming / secrets.token_hex(16)
        digest, size = hashlib.sha256(), 0
        try:
            with temporary.open("xb") as file:
                async for chunk in chunks:
                    size += len(chunk)
                    if size > max_bytes:
                        raise PayloadTooLarge(
                            f"Maximum content size limit ({max_bytes}) exceeded ({size} bytes read)"
                        )
                    digest.update(chunk)
                    await asyncio.to_thread(file.write, chunk)
                await asyncio.to_thread(_sync, file.fileno())
            blob = Blob(digest.hexdigest(), size)
            await asyncio.to_thread(self._publish, temporary, blob)
            return blob
        except OSError as error:
            raise StorageUnavailable(f"The file could not be stored: {error.strerror}.") from error
        finally:
            temporary.unlink(missing_ok=True)

    def check(self, blob: Blob) -> None:
        """Raise StorageCorrupt when the blob is missing or has another size."""
        if blob.sha256 == NO_CONTENT:
            raise StorageCorrupt("The content of this file was not there when it was imported.")
        try:
            size_bytes = self.path(blob.sha256).stat().st_size
        except FileNotFoundError as error:
            raise StorageCorrupt(
                f"The content {blob.sha256[:12]} is missing from the data folder."
            ) from error
        if size_bytes != blob.size_bytes:
            raise StorageCorrupt(f"The content {blob.sha256[:12]} does not have its recorded size.")

    async def open(self, blob: Blob) -> AsyncIterator[bytes]:
        """Stream a blob's bytes. Raises StorageCorrupt as ``check`` does."""
        self.check(blob)
        with self.path(blob.sha256).open("rb") as file:
            while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
                yield chunk

    def discard(self, sha256: str) -> bool:
        """Remove a blob that no row names any more; True when it is gone.

        A blob written within the last hour stays for ``sweep``: an upload of the same content may
        have stored it and be about to record it.
        """
        path = self.path(sha256)
        try:
            if time.time() - path.stat().st_mtime < _GRACE_SECONDS:
                return False
            path.unlink()
        except FileNotFoundError:
            pass
        return True

    def sweep(self, is_recorded: Callable[[str], bool]) -> int:
        """Discard every blob for which ``is_recorded(sha256)`` is false; returns how many went."""
        names = [path.name for path in self._root.glob("??/*")]
        return sum(self.discard(name) for name in names if not is_recorded(name))

    def _publish(self, temporary: Path, blob: Blob) -> None:
        final = self.path(blob.sha256)
        final.parent.mkdir(exist_ok=True)
        temporary.replace(final)
        sync_folder(final.parent)

    def _remove_stale(self) -> None:
        # Another process may be writing right now, so only what is clearly abandoned goes.
        limit = time.time() - _STALE_SECONDS
        for leftover in self._incoming.iterdir():
            try:
                if leftover.stat().st_mtime < limit:
                    leftover.unlink()
            except FileNotFoundError:
                continue


def _sync(descriptor: int) -> None:
    os.fsync(descriptor)
