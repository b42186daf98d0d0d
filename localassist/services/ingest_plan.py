"""Which files are ingested next, which are under way, and which are tried again later."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterable

from localassist.retrieval.segments import segment_key
from localassist.services.ingest_job import IngestCounters, Job
from localassist.storage import ingest_queue
from localassist.storage.database import Database, Session
from localassist.storage.ingest_queue import QueuedFile

_log = logging.getLogger(__name__)

LONGEST_PAUSE_SECONDS = 60.0
_SHORT_PAUSE_SECONDS = 5.0
_PLAN_PER_STORE = 8
_PLAN_FILES = 64


class IngestPlan:
    """Used on the event loop of ``Ingest``.

    ``jobs`` are the files under way, by the sequence number of their entry. ``ended`` is set when
    files have come to their end, and another event takes its place.
    """

    def __init__(self, database: Database, counters: IngestCounters, poll_seconds: float) -> None:
        self._database = database
        self._counters = counters
        self._poll_seconds = poll_seconds
        self.jobs: dict[int, Job] = {}
        self.ended = asyncio.Event()
        self._upcoming: deque[QueuedFile] = deque()
        # Entries that failed for want of room: when to try again, and how often it was tried.
        self._delayed: dict[int, tuple[float, int]] = {}
        self._paused_until = 0.0
        self._look = asyncio.Event()

    def look_again(self) -> None:
        """The queue has changed."""
        self._look.set()

    def clear(self) -> None:
        """Nothing is under way any more."""
        self.jobs.clear()
        self._upcoming.clear()

    async def next(self) -> Job:
        """Wait for the next file that is not under way."""
        while True:
            await asyncio.sleep(max(0.0, self._paused_until - time.monotonic()))
            if self._look.is_set():
                self._look.clear()
                self._upcoming.clear()
            if not self._upcoming:
                self._upcoming.extend(await self._read())
            if self._upcoming:
                file = self._upcoming.popleft()
                key = segment_key(file.sha256, file.filename, file.embedder_id)
                job = self.jobs[file.seq] = Job(file, key)
                return job
            await wait(self._look, self._poll_seconds)

    async def _read(self) -> list[QueuedFile]:
        now = time.monotonic()
        besides = [*self.jobs, *(seq for seq, (at, _) in self._delayed.items() if at > now)]

        def look(session: Session) -> tuple[list[QueuedFile], int]:
            files = ingest_queue.upcoming(
                session, besides=besides, per_store=_PLAN_PER_STORE, limit=_PLAN_FILES
            )
            return files, ingest_queue.count_pending(session) if files else len(besides)

        files, self._counters.queued = await self._database.read(look)
        return files

    async def stop_gone(self) -> None:
        """Stop working on files that were cancelled or removed."""
        known = dict(self.jobs)
        if known:
            still = await self._database.read(lambda s: ingest_queue.still_pending(s, known))
            for seq in known.keys() - still:
                known[seq].stop()

    def finish(self, jobs: Iterable[Job]) -> None:
        """These are recorded, or nobody wants them any more."""
        for job in jobs:
            self.jobs.pop(job.file.seq, None)
            self._delayed.pop(job.file.seq, None)
        self.ended.set()
        self.ended = asyncio.Event()

    def drop(self, job: Job) -> None:
        """The file was cancelled or removed."""
        self._counters.dropped += 1
        self.finish([job])

    def delay(self, job: Job, error: BaseException) -> None:
        """Try again later, and let the others wait a little: what has run out for one file has
        probably run out for the next too."""
        _, tries = self._delayed.get(job.file.seq, (0.0, 0))
        seconds = min(2.0**tries, LONGEST_PAUSE_SECONDS)
        now = time.monotonic()
        self._delayed[job.file.seq] = now + seconds, tries + 1
        self._paused_until = now + min(seconds, _SHORT_PAUSE_SECONDS)
        self.jobs.pop(job.file.seq, None)
        _log.error("%s is tried again in %.0f s: %s", job.file.file_id, seconds, error)


async def wait(event: asyncio.Event, seconds: float) -> None:
    """Until the event is set or the time is up."""
    waiting = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({waiting}, timeout=seconds)
    finally:
        waiting.cancel()
