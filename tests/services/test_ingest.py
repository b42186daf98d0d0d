"""Files on their way into vector stores: order, ends, shared content, and what is put right."""

from __future__ import annotations

import asyncio
import errno
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from localassist.errors import ResourceNotFound
from localassist.retrieval.embedders import HashingEmbedder
from localassist.retrieval.segments import Segment
from localassist.services.ingest_job import FileProgress
from localassist.storage import files, ingest_queue, store_files, vector_stores
from localassist.storage.tables import DEFAULT_PROJECT as P
from tests.services.ingesting import Bench, Reader, bench
from tests.waiting import until

if TYPE_CHECKING:
    from localassist.retrieval.embedders.base import Vectors


class SlowEmbedder(HashingEmbedder):
    """Waits at every batch until it may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.may_go = asyncio.Event()
        self.batches = 0

    async def embed(self, texts: Sequence[str]) -> Vectors:
        self.batches += 1
        await self.may_go.wait()
        return await super().embed(texts)


async def entries(b: Bench, store_id: str) -> set[str]:
    """The files in the store's index."""
    async with b.stores.lease(store_id, 64) as index:
        return await asyncio.to_thread(index.file_ids)


def long_text(words: int) -> str:
    return " ".join(f"This is sentence number {n} of a long story." for n in range(words // 9))


async def test_a_file_becomes_searchable(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        store = await b.store()
        file_id = await b.add(store, "The quick brown fox jumps over the lazy dog.")
        before = await b.version(store)
        await b.done(store)
        file = await b.file(store, file_id)
        assert file.status == "completed" and file.last_error is None
        assert file.usage_bytes == 44 + 64 * 4
        assert before is not None and await b.version(store) == before + 1
        assert await b.find(store, "Which dog is lazy?") == [file_id]
        assert (b.ingest.counters.completed, b.ingest.counters.units) == (1, 1)
        assert b.ingest.progress() == ()


async def test_failures_have_the_codes_of_the_api(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        store = await b.store()
        damaged = await b.add(store, "boom")
        ours = await b.add(store, "bug")
        blank = await b.add(store, "  \n ")
        good = await b.add(store, "A good file.")
        await b.done(store)
        errors = [(await b.file(store, each)).last_error for each in (damaged, ours, blank)]
        codes = [error.code for error in errors if error]
        assert codes == ["invalid_file", "server_error", "invalid_file"]
        assert errors[0] and errors[0].message == "The file is damaged."
        assert await b.find(store, "file") == [good]
        assert b.ingest.counters.failed == 3


async def test_a_content_that_is_missing_fails_its_file_only(tmp_path: Path) -> None:
    async with bench(tmp_path, starts=False) as b:
        store = await b.store()
        lost, kept = [await b.add(store, f"the text of {name}") for name in ("one", "two")]
        sha256 = (await b.database.read(lambda s: files.get(s, P, lost)))[1].sha256
        b.blobs.path(sha256).unlink()
        await b.ingest.start()
        await b.done(store)
        error = (await b.file(store, lost)).last_error
        assert error and error.code == "server_error" and "missing" in error.message
        assert (await b.file(store, kept)).status == "completed"


async def test_stores_take_turns(tmp_path: Path) -> None:
    async with bench(tmp_path, starts=False) as b:
        large, small = await b.store(), await b.store()
        for n in range(20):
            await b.add(large, f"large {n}", f"large {n}.txt")
        await b.add(small, "small", "small.txt")
        await b.ingest.start()
        await b.done(large, small)
        assert b.reader.read.index("small.txt") <= 2


async def test_what_only_changes_its_chunks_is_not_kept_waiting(tmp_path: Path) -> None:
    gates = {"next.txt": asyncio.Event()}
    async with bench(tmp_path, reader=Reader(gates=gates)) as b:
        store = await b.store()
        first = await b.add(store, "the first text")
        await b.done(store)
        await b.add(store, "held back", "next.txt")
        for n in range(5):
            await b.add(store, f"queued {n}")
        static = {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0}
        await b.attach(store, first, chunking_strategy={"type": "static", "static": static})
        assert (await b.file(store, first)).status == "in_progress"
        queue = await b.database.read(
            lambda s: ingest_queue.upcoming(s, besides=[], per_store=8, limit=8)
        )
        assert queue[0].file_id == first
        gates["next.txt"].set()
        await b.done(store)
        assert len(b.reader.read) == 7


async def test_two_stores_share_what_was_made_of_a_file(tmp_path: Path) -> None:
    async with bench(tmp_path, starts=False) as b:
        one, two = await b.store(), await b.store()
        first = await b.add(one, "The same text twice.")
        second = await b.add(two, "The same text twice.", "other name.txt")
        await b.ingest.start()
        await b.done(one, two)
        assert len(b.reader.read) == 1 and len(list(b.segments.keys())) == 1
        assert await b.find([one], "text") == [first]
        assert await b.find([two], "text") == [second]
        three = await b.store()
        await b.attach(three, first)
        await b.done(three)
        assert len(b.reader.read) == 1
        assert await b.find([one, three], "text") == [first]


@pytest.mark.parametrize("what", ["file", "store file", "store", "cancel"])
@pytest.mark.parametrize("stage", ["read", "embedded"])
async def test_what_is_removed_meanwhile_is_given_up(tmp_path: Path, what: str, stage: str) -> None:
    embedder = SlowEmbedder()
    reader = Reader(gates={"slow.txt": asyncio.Event()} if stage == "read" else {})
    async with bench(tmp_path, reader=reader, embedders={"hashing": embedder}) as b:
        store = await b.store()
        slow = await b.add(store, "a slow file", "slow.txt")
        await until(lambda: embedder.batches if stage == "embedded" else reader.read)
        if what == "file":
            await b.database.write(lambda s: files.delete(s, P, slow))
        elif what == "store file":
            await b.remove(store, slow)
        elif what == "store":
            await b.database.write(lambda s: vector_stores.delete(s, P, store))
        else:
            await b.database.write(lambda s: cancel(s, store))
        b.ingest.wake()
        await until(lambda: b.ingest.counters.dropped == 1)
        assert b.ingest.progress() == ()
        embedder.may_go.set()
        other = await b.store()
        quick = await b.add(other, "a quick file")
        await b.done(other)
        assert await b.find([store, other], "file") == [quick]
        if what == "cancel":
            assert (await b.file(store, slow)).status == "cancelled"
        else:
            with pytest.raises(ResourceNotFound):
                await b.file(store, slow)


def cancel(session: ingest_queue.Session, store_id: str) -> None:
    for row in session.scalars(store_files.select(store_files.StoreFileRow)):
        row.status = "cancelled"


async def test_progress_is_told_while_a_file_is_embedded(tmp_path: Path) -> None:
    embedder = SlowEmbedder()
    async with bench(tmp_path, embedders={"hashing": embedder}) as b:
        store = await b.store()
        file_id = await b.add(store, long_text(20_000))
        await until(lambda: embedder.batches)
        (progress,) = b.ingest.progress()
        assert progress == FileProgress(file_id, 0, progress.total_units)
        assert progress.total_units > 128
        assert not await b.ingest.wait_for([store], 0.1)
        embedder.may_go.set()
        await b.done(store)
        assert b.ingest.counters.units == progress.total_units


async def test_searches_go_on_during_ingest(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        store = await b.store()
        wanted = await b.add(store, "The answer is in the treasure chest.")
        await b.done(store)
        for n in range(100):
            await b.add(store, f"Page {n} is about something else altogether.")
        found = await asyncio.gather(*(b.find(store, "treasure chest") for _ in range(50)))
        assert all(ids[0] == wanted for ids in found)
        await b.done(store)
        assert len(await entries(b, store)) == 101


async def test_a_closing_process_leaves_the_file_to_the_next(tmp_path: Path) -> None:
    embedder = SlowEmbedder()
    async with bench(tmp_path, embedders={"hashing": embedder}) as b:
        store = await b.store()
        file_id = await b.add(store, "begun by one, ended by another")
        await until(lambda: embedder.batches)
    async with bench(tmp_path) as b:
        await b.done(store)
        assert await b.find(store, "begun") == [file_id]
        row = await b.database.read(lambda s: store_files.find(s, P, store, file_id))
        assert row.interruptions == 0


async def test_a_file_that_kills_the_process_is_given_up_in_the_end(tmp_path: Path) -> None:
    async with bench(tmp_path, starts=False) as b:
        store = await b.store()
        deadly, good = await b.add(store, "deadly"), await b.add(store, "good")
        row = await b.database.read(lambda s: store_files.find(s, P, store, deadly))
        for _ in range(4):
            await b.database.write(lambda s: ingest_queue.begin(s, row.seq))
        await b.ingest.start()
        await b.done(store)
        error = (await b.file(store, deadly)).last_error
        assert error and error.code == "server_error" and "4 times" in error.message
        assert (await b.file(store, good)).status == "completed"


async def test_one_process_ingests_and_another_takes_over(tmp_path: Path) -> None:
    async with bench(tmp_path) as two:
        await until(lambda: two.stores.is_writer)
        async with bench(tmp_path) as one:
            store = await one.store()
            first = await one.add(store, "the first text")
            await one.done(store)
            assert one.reader.read == [] and not one.stores.is_writer
            assert await one.find(store, "text") == [first]
            second = await one.add(store, "the second text")
            await one.done(store)
            assert sorted(await one.find(store, "text")) == sorted([first, second])
            await two.ingest.close()
            third = await one.add(store, "the third text")
            await one.done(store)
            assert one.reader.read == ["a.txt"]
            assert third in await one.find(store, "third")


async def test_a_full_disk_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench(tmp_path) as b:
        put, refusals = b.segments.put, iter(range(2))

        def refuse(segment: Segment) -> Segment:
            if next(refusals, None) is not None:
                raise OSError(errno.ENOSPC, "No space left on device")
            return put(segment)

        monkeypatch.setattr(b.segments, "put", refuse)
        store = await b.store()
        file_id = await b.add(store, "patience")
        await until(lambda: "No space left" in caplog.text)
        assert (await b.file(store, file_id)).status == "in_progress"
        await b.done(store)
        assert (await b.file(store, file_id)).status == "completed"


async def test_files_that_left_leave_the_index(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        store = await b.store()
        gone, kept = await b.add(store, "one text"), await b.add(store, "two text")
        await b.done(store)
        await b.remove(store, gone)
        assert await b.find(store, "text") == [kept]

        async def is_clean() -> bool:
            return await entries(b, store) == {kept}

        await until(is_clean)


async def test_leftovers_of_deleted_stores_are_removed(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        store = await b.store()
        await b.add(store, "text")
        await b.done(store)
        await b.database.write(lambda s: vector_stores.delete(s, P, store))
        assert b.stores.folder(store).is_dir()
    async with bench(tmp_path) as b:
        await until(lambda: not b.stores.folder(store).exists())


@pytest.mark.parametrize("damage", ["missing", "damaged", "segment"])
async def test_what_is_lost_is_made_anew(tmp_path: Path, damage: str) -> None:
    async with bench(tmp_path) as b:
        store = await b.store()
        ids = {await b.add(store, f"text number {n}") for n in range(3)}
        await b.done(store)
        folder, (key, *_) = b.stores.folder(store), sorted(b.segments.keys())
    if damage == "missing":
        shutil.rmtree(folder)
    elif damage == "damaged":
        for path in folder.rglob("meta.json"):
            path.write_text("{")
    else:
        shutil.rmtree(tmp_path / "segments" / key[:2] / key)
    async with bench(tmp_path) as b:
        await until(lambda: b.stores.is_writer)
        await b.find(store, "text")

        async def is_whole() -> bool:
            return await entries(b, store) == set(await b.find(store, "text")) == ids

        await until(is_whole)
        assert await b.ingest.wait_for([store], 0)


async def test_unused_segments_are_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("localassist.services.ingest._SEGMENT_GRACE_SECONDS", -1.0)
    async with bench(tmp_path) as b:
        store = await b.store()
        gone, kept = await b.add(store, "one text"), await b.add(store, "two text")
        await b.done(store)
        await b.remove(store, gone)
        await b.ingest.sweep()
        assert len(list(b.segments.keys())) == 1
        assert await b.find(store, "text") == [kept]
