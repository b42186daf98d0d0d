from __future__ import annotations

import hashlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from localassist.errors import PayloadTooLarge, StorageCorrupt
from localassist.storage.blobs import Blob, BlobStore

DATA = b"some content " * 1000


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def read(store: BlobStore, blob: Blob) -> bytes:
    return b"".join([chunk async for chunk in store.open(blob)])


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


def leftovers(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "blobs" / "incoming").iterdir())


async def test_content_comes_back_whole_under_its_hash(store: BlobStore, tmp_path: Path) -> None:
    blob = await store.put(chunks(DATA[:7], DATA[7:]), max_bytes=10**6)
    assert blob == Blob(hashlib.sha256(DATA).hexdigest(), len(DATA))
    assert await read(store, blob) == DATA
    assert leftovers(tmp_path) == []


async def test_equal_contents_are_stored_once(store: BlobStore, tmp_path: Path) -> None:
    first = await store.put(chunks(DATA), max_bytes=10**6)
    second = await store.put(chunks(DATA), max_bytes=10**6)
    assert first == second
    assert len(list((tmp_path / "blobs").glob("??/*"))) == 1


async def test_too_much_is_refused_and_nothing_remains(store: BlobStore, tmp_path: Path) -> None:
    with pytest.raises(PayloadTooLarge):
        await store.put(chunks(DATA, DATA), max_bytes=len(DATA))
    assert leftovers(tmp_path) == []
    assert list((tmp_path / "blobs").glob("??/*")) == []


async def test_a_sender_that_breaks_off_leaves_nothing(store: BlobStore, tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield DATA
        raise ConnectionResetError

    with pytest.raises(Exception, match="could not be stored"):
        await store.put(broken(), max_bytes=10**6)
    assert leftovers(tmp_path) == []


async def test_a_missing_or_shortened_blob_is_corrupt(store: BlobStore) -> None:
    blob = await store.put(chunks(DATA), max_bytes=10**6)
    store.path(blob.sha256).write_bytes(DATA[:-1])
    with pytest.raises(StorageCorrupt, match="recorded size"):
        await read(store, blob)
    store.path(blob.sha256).unlink()
    with pytest.raises(StorageCorrupt, match="missing"):
        await read(store, blob)


async def test_only_old_contents_are_discarded(store: BlobStore) -> None:
    blob = await store.put(chunks(DATA), max_bytes=10**6)
    assert not store.discard(blob.sha256)  # an upload of the same content may be about to record it
    age(store.path(blob.sha256), hours=2)
    assert store.discard(blob.sha256)
    assert not store.path(blob.sha256).exists()


async def test_sweeping_keeps_what_is_recorded(store: BlobStore) -> None:
    kept = await store.put(chunks(b"kept"), max_bytes=10)
    gone = await store.put(chunks(b"gone"), max_bytes=10)
    for blob in (kept, gone):
        age(store.path(blob.sha256), hours=2)
    assert store.sweep({kept.sha256}.__contains__) == 1
    assert await read(store, kept) == b"kept"
    assert not store.path(gone.sha256).exists()


def test_a_start_removes_what_a_crash_left_long_ago(tmp_path: Path) -> None:
    incoming = tmp_path / "blobs" / "incoming"
    incoming.mkdir(parents=True)
    (incoming / "old").write_bytes(b"half")
    (incoming / "new").write_bytes(b"half")
    age(incoming / "old", hours=25)
    BlobStore(tmp_path / "blobs")
    assert [path.name for path in incoming.iterdir()] == ["new"]


def age(path: Path, *, hours: float) -> None:
    at = time.time() - hours * 3600
    os.utime(path, (at, at))
