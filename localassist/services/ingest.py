"""Ingest: files of vector stores are read, split, embedded and made searchable, in the background.

The rows in status ``in_progress`` are the queue; whatever happens to this process, they are still
there, and doing a file twice gives the same. One process on a machine ingests at a time, the one
that holds the lock; others wait until it has gone. Three files are under way at once: one is read
while another is embedded and a third written to its index. Knows nothing of formats or vectors.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine
from pathlib import Path
from typing import Any

from localassist.errors import (
    IndexUnavailable,
    LocalAssistError,
    ShuttingDown,
    StorageUnavailable,
    UnreadableFile,
)
from localassist.retrieval.config import RetrievalSettings
from localassist.retrieval.documents import ParsedDocument
from localassist.retrieval.embedders import Embedder
from localassist.retrieval.segment_builder import build_segment
from localassist.retrieval.segments import SegmentStore
from localassist.services.ingest_job import (
    FileProgress,
    IngestCounters,
    Job,
    failure_of,
    is_passing,
)
from localassist.services.ingest_plan import LONGEST_PAUSE_SECONDS, IngestPlan, wait
from localassist.services.open_stores import OpenStores
from localassist.services.store_writer import StoreWriter
from localassist.storage import ingest_queue
from localassist.storage.blobs import Blob, BlobStore
from localassist.storage.database import Database
from localassist.storage.ingest_queue import Failed, QueuedFile
from localassist.storage.process_lock import ProcessLock

_log = logging.getLogger(__name__)

Parse = Callable[[Path, str], Awaitable[ParsedDocument]]
GetEmbedder = Callable[[str], Awaitable[Embedder]]

_GROUP_FILES = 64
_GROUP_SECONDS = 0.5
_TIDY_POLLS = 10
_SEGMENT_GRACE_SECONDS = 3600.0


class Ingest:
    """Started and closed by the runtime; everything runs on the runtime's event loop.

    ``parse`` reads a file, ``embedder`` gives the embedding model of an id.
    """

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        segments: SegmentStore,
        stores: OpenStores,
        parse: Parse,
        embedder: GetEmbedder,
        settings: RetrievalSettings,
        lock: ProcessLock,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._segments = segments
        self._stores = stores
        self._writer = StoreWriter(database, segments, stores)
        self._read_file = parse
        self._embedder = embedder
        self._settings = settings
        self._lock = lock
        self._tasks: list[asyncio.Task[None]] = []
        self._rebuilds: dict[str, asyncio.Task[None]] = {}
        self._check = asyncio.Event()
        self._untidy = asyncio.Event()
        self.counters = IngestCounters()
        self._plan = IngestPlan(database, self.counters, settings.poll_seconds)

    async def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._lead_forever(), name="ingest"),
            asyncio.create_task(self._watch_forever(), name="ingest-watch"),
        ]

    async def close(self) -> None:
        """Give up what is under way; the next process, or this one's next life, does it again."""
        self._writer.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._rebuilds.values(), return_exceptions=True)
        await asyncio.to_thread(self._lock.release)

    def wake(self) -> None:
        """Files were queued, cancelled or removed."""
        self._plan.look_again()
        self._check.set()
        self._untidy.set()

    def progress(self) -> tuple[FileProgress, ...]:
        """The files that this process is working on."""
        return tuple(
            FileProgress(job.file.file_id, job.units, job.total_units)
            for job in self._plan.jobs.values()
        )

    async def wait_for(self, store_ids: Collection[str], seconds: float) -> bool:
        """Wait until nothing in these stores is in progress; False when the time is up first."""
        until = time.monotonic() + seconds
        while True:
            ended = self._plan.ended
            if not await self._database.read(lambda s: ingest_queue.has_pending(s, store_ids)):
                return True
            left = until - time.monotonic()
            if left <= 0:
                return False
            await wait(ended, min(left, self._settings.poll_seconds))

    async def put_back(self, store_id: str, file_ids: Collection[str]) -> None:
        """Ingest files of the store again, because their content was lost."""
        await self._database.write(lambda s: ingest_queue.put_back(s, store_id, file_ids))
        self.wake()

    async def rebuild(self, store_id: str) -> bool:
        """Make the store's damaged index anew, if this is the process that may; whether it did.
        Raises IndexUnavailable when it cannot be made."""
        if not self._stores.is_writer:
            return False
        rebuild = self._rebuilds.get(store_id)
        if rebuild is None:  # all who ask meanwhile wait for the same one
            rebuild = asyncio.create_task(self._writer.rebuild(store_id))
            self._rebuilds[store_id] = rebuild
            rebuild.add_done_callback(lambda _: self._rebuilds.pop(store_id))
        await asyncio.shield(rebuild)
        return True

    async def sweep(self) -> None:
        """Remove segments that no file has needed for a while, and what deleted files left."""
        if not self._stores.is_writer:
            return
        used = await self._database.read(ingest_queue.used_segments)
        used |= {job.key for job in self._plan.jobs.values()}
        await asyncio.to_thread(self._segments.sweep, used.__contains__, _SEGMENT_GRACE_SECONDS)
        self.wake()

    # -- which process, which file --------------------------------------------------------------

    async def _lead_forever(self) -> None:
        pause = 0.0
        while True:
            try:
                if await asyncio.to_thread(self._lock.acquire):
                    await self._stores.become_writer()
                    await self._work()
            except ShuttingDown:
                return
            except LocalAssistError as error:
                _log.error("ingest pauses: %s", error.message)
                pause = min(2 * pause + 1, LONGEST_PAUSE_SECONDS)
            except Exception:
                _log.exception("ingest pauses")
                pause = min(2 * pause + 1, LONGEST_PAUSE_SECONDS)
            else:
                pause = 0.0
            await asyncio.sleep(max(pause, self._settings.poll_seconds))

    async def _work(self) -> None:
        """Ingest until cancelled, or until something fails that is not about one file."""
        parsed: asyncio.Queue[Job] = asyncio.Queue(1)
        embedded: asyncio.Queue[Job] = asyncio.Queue(_GROUP_FILES)
        stages = [
            asyncio.create_task(self._parse_forever(parsed)),
            asyncio.create_task(self._embed_forever(parsed, embedded)),
            asyncio.create_task(self._record_forever(embedded)),
            asyncio.create_task(self._tidy_forever()),
        ]
        try:
            await asyncio.wait(stages, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for stage in stages:
                stage.cancel()
            await asyncio.gather(*stages, return_exceptions=True)
            self._plan.clear()
        for stage in stages:
            if not stage.cancelled():
                stage.result()

    async def _watch_forever(self) -> None:
        """Stop working on files that were cancelled or removed."""
        while True:
            await wait(self._check, self._settings.poll_seconds)
            self._check.clear()
            try:
                await self._plan.stop_gone()
            except LocalAssistError as error:
                _log.error("cannot look for cancelled files: %s", error.message)

    # -- stages ---------------------------------------------------------------------------------

    async def _parse_forever(self, parsed: asyncio.Queue[Job]) -> None:
        while True:
            job = await self._plan.next()
            if await self._step(job, self._prepare(job)):
                await parsed.put(job)

    async def _embed_forever(
        self, parsed: asyncio.Queue[Job], embedded: asyncio.Queue[Job]
    ) -> None:
        while True:
            job = await parsed.get()
            if job.failure is not None or await self._step(job, self._embed(job)):
                await embedded.put(job)

    async def _record_forever(self, embedded: asyncio.Queue[Job]) -> None:
        while True:
            jobs = [await embedded.get()]
            # What else is about to be ready shares the commit.
            until = time.monotonic() + _GROUP_SECONDS
            while time.monotonic() < until:
                while not embedded.empty():
                    jobs.append(embedded.get_nowait())
                if len(jobs) >= min(len(self._plan.jobs), _GROUP_FILES):
                    break
                await asyncio.sleep(_GROUP_SECONDS / 10)
            kept = await asyncio.gather(*(self._finish(job) for job in jobs))
            jobs = [job for job, goes_on in zip(jobs, kept, strict=True) if goes_on]
            for store_id in dict.fromkeys(job.file.store_id for job in jobs):
                group = [job for job in jobs if job.file.store_id == store_id]
                await _whole(self._record(store_id, group))

    async def _finish(self, job: Job) -> bool:
        return job.failure is not None or await self._step(job, self._keep(job))

    async def _tidy_forever(self) -> None:
        self._untidy.set()  # who knows what an earlier process left
        while True:
            await self._untidy.wait()
            self._untidy.clear()
            await _whole(self._writer.tidy())
            await asyncio.sleep(_TIDY_POLLS * self._settings.poll_seconds)

    async def _step(self, job: Job, work: Coroutine[Any, Any, None]) -> bool:
        """Do a part of a file's ingest that may be stopped; whether the file goes on."""
        if job.is_gone:
            work.close()
            self._plan.drop(job)
            return False
        job.step = asyncio.create_task(work)
        try:
            await asyncio.wait({job.step})
        except asyncio.CancelledError:
            job.step.cancel()
            await asyncio.wait({job.step})
            raise
        if job.step.cancelled() or job.is_gone:
            self._plan.drop(job)
            return False
        error = job.step.exception()
        if error is None:
            return True
        if is_passing(error):
            self._plan.delay(job, error)
            return False
        job.failure = failure_of(error, job.file)
        return True

    async def _prepare(self, job: Job) -> None:
        """Read the file, unless its content is there already or about to be."""
        if await asyncio.to_thread(self._segments.get, job.key) is not None:
            return
        others = (other for other in self._plan.jobs.values() if other is not job)
        if not any(other.key == job.key for other in others):
            job.document = await self._parse(job.file)

    async def _parse(self, file: QueuedFile) -> ParsedDocument:
        await asyncio.to_thread(self._blobs.check, Blob(file.sha256, file.size_bytes))
        return await self._read_file(self._blobs.path(file.sha256), file.filename)

    async def _embed(self, job: Job) -> None:
        twins = (other.segment for other in self._plan.jobs.values() if other.key == job.key)
        job.segment = next((segment for segment in twins if segment is not None), None)
        if job.segment is None:
            job.segment = await asyncio.to_thread(self._segments.get, job.key)
        if job.segment is not None:
            return
        document = job.document or await self._parse(job.file)
        job.document = None
        embedder = await self._embedder(job.file.embedder_id)
        seq = job.file.seq
        begun = await self._database.write(lambda s: ingest_queue.begin(s, seq), durable=False)
        if begun is None:
            job.is_gone = True
            return
        if begun - 1 > self._settings.max_interruptions:
            job.failure = Failed(
                "server_error", f"The process ended {begun - 1} times while it read this file."
            )
            return
        try:
            built = await build_segment(
                job.key,
                document,
                embedder,
                embedder_id=job.file.embedder_id,
                on_progress=job.advance,
            )
            if not len(built.units):
                raise UnreadableFile("The file holds no text that could be searched.")
        except BaseException:
            await self._give_up(job)
            raise
        self.counters.units += len(built.units)
        job.segment = built

    async def _keep(self, job: Job) -> None:
        """Store what was made. Beside the next file's embedding, because disks take their time."""
        assert job.segment is not None
        try:
            job.segment = await asyncio.to_thread(self._segments.put, job.segment)
        except BaseException:
            await self._give_up(job)
            raise

    async def _give_up(self, job: Job) -> None:
        seq = job.file.seq
        await self._database.write(lambda s: ingest_queue.give_up(s, seq), durable=False)

    async def _record(self, store_id: str, jobs: list[Job]) -> None:
        done = [(job.file, job.segment) for job in jobs if job.segment is not None]
        failed = {job.file.seq: job.failure for job in jobs if job.failure is not None}
        try:
            found = await self._writer.record(store_id, done, failed)
        except (IndexUnavailable, OSError, StorageUnavailable) as error:
            for job in jobs:
                self._plan.delay(job, error)
            return
        for job in jobs:
            if job.file.seq not in found:
                self.counters.dropped += 1
            elif job.failure is not None:
                self.counters.failed += 1
                _log.info("file %s failed: %s", job.file.file_id, job.failure.message)
            else:
                self.counters.completed += 1
        self._plan.finish(jobs)
        self._untidy.set()


async def _whole(work: Coroutine[Any, Any, None]) -> None:
    """Do something that must not be torn apart, such as a change of an index and its rows: who is
    cancelled meanwhile leaves afterwards."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise
