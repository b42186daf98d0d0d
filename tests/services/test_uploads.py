"""What becomes of the parts of uploads on disk."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from localassist import clock
from localassist.errors import InvalidRequest, StorageCorrupt
from localassist.schemas.uploads import Upload, UploadComplete, UploadCreate
from localassist.services.files import Files
from localassist.services.uploads import Uploads
from localassist.storage.blobs import BlobStore
from localassist.storage.config import StorageSettings
from localassist.storage.database import Database

P = "proj_default"
OLD = 2 * 3600


class Desk:
    """Uploads and files on one data folder."""

    def __init__(self, home: Path) -> None:
        self.database = Database.open(home, StorageSettings())
        self.root = home / "blobs"
        blobs = BlobStore(self.root)
        self.uploads = Uploads(self.database, blobs)
        self.files = Files(self.database, blobs)

    async def begin(self, size: int) -> Upload:
        body = UploadCreate(filename="a.txt", purpose="assistants", bytes=size, mime_type="text/x")
        return await self.uploads.create(P, body)

    async def add(self, upload: Upload, data: bytes) -> str:
        async def chunks() -> AsyncIterator[bytes]:
            yield data

        return (await self.uploads.add_part(P, upload.id, chunks())).id

    async def complete(self, upload: Upload, *part_ids: str) -> Upload:
        return await self.uploads.complete(P, upload.id, UploadComplete(part_ids=list(part_ids)))

    def blobs(self) -> list[Path]:
        return sorted(self.root.glob("??/*"))

    def age(self) -> None:
        """Blobs of the last hour are left alone: somebody may be about to record them."""
        at = time.time() - OLD
        for path in self.blobs():
            os.utime(path, (at, at))


@pytest_asyncio.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    opened = Desk(tmp_path / "home")
    yield opened
    await opened.database.close()


async def test_parts_stay_until_the_upload_ends(desk: Desk) -> None:
    upload = await desk.begin(6)
    parts = [await desk.add(upload, data) for data in (b"one", b"two")]
    desk.age()
    await desk.files.sweep()
    assert len(desk.blobs()) == 2
    done = await desk.complete(upload, *parts)
    assert done.file is not None
    # They went at once, the file's content stays.
    (path,) = desk.blobs()
    assert path.read_bytes() == b"onetwo"
    desk.age()
    await desk.files.sweep()
    assert desk.blobs() == [path]


async def test_a_part_that_is_the_file_stays(desk: Desk) -> None:
    upload = await desk.begin(3)
    part = await desk.add(upload, b"all")
    desk.age()
    await desk.complete(upload, part)
    desk.age()
    await desk.files.sweep()
    assert [path.read_bytes() for path in desk.blobs()] == [b"all"]


@pytest.mark.parametrize("shared", [False, True])
async def test_parts_of_a_cancelled_upload_go(desk: Desk, shared: bool) -> None:
    first, second = await desk.begin(3), await desk.begin(3)
    await desk.add(first, b"one")
    if shared:
        await desk.add(second, b"one")
    desk.age()
    assert (await desk.uploads.cancel(P, first.id)).status == "cancelled"
    assert len(desk.blobs()) == shared


async def test_parts_of_an_expired_upload_are_swept(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = await desk.begin(3)
    part = await desk.add(upload, b"one")
    desk.age()
    monkeypatch.setattr(clock, "now", lambda: upload.expires_at)
    with pytest.raises(InvalidRequest, match="has status 'expired' and cannot be modified"):
        await desk.complete(upload, part)
    await desk.files.sweep()
    assert desk.blobs() == []
    monkeypatch.undo()
    # Its time does not come back.
    with pytest.raises(InvalidRequest, match="has status 'expired'"):
        await desk.add(upload, b"two")


async def test_a_damaged_part_is_no_file(desk: Desk) -> None:
    upload = await desk.begin(6)
    parts = [await desk.add(upload, data) for data in (b"one", b"two")]
    broken = next(path for path in desk.blobs() if path.read_bytes() == b"two")
    broken.write_bytes(b"tw")
    with pytest.raises(StorageCorrupt):
        await desk.complete(upload, *parts)
    assert not list((desk.root / "incoming").iterdir())
    again = await desk.add(upload, b"two")
    assert (await desk.complete(upload, parts[0], again)).status == "completed"


async def test_only_one_file_comes_of_an_upload(desk: Desk) -> None:
    upload = await desk.begin(3)
    part = await desk.add(upload, b"one")
    ends = [desk.complete(upload, part) for _ in range(4)]
    results = await asyncio.gather(*ends, return_exceptions=True)
    done = [result for result in results if isinstance(result, Upload)]
    refused = [result for result in results if isinstance(result, InvalidRequest)]
    assert (len(done), len(refused)) == (1, 3)
