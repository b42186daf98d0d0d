"""The workers: claim runs from the database, work them side by side, and give up cleanly.

Several processes may serve one store. A run is worked by whoever holds its lease; leases are
renewed while the process lives and taken over when it does not. Cancelling a run cancels its task,
which stops the engine within a step. Knows nothing of what a run does.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from localassist import clock
from localassist.core import Usage
from localassist.errors import LeaseLost, StorageError
from localassist.observability import logs, spans, timeline
from localassist.observability.timeline import QUEUED, Timeline
from localassist.runs import changes, owner
from localassist.runs.config import RunSettings
from localassist.runs.counters import RunCounters
from localassist.runs.feed import EventFeed, Signal
from localassist.runs.loop import RunLoop
from localassist.runs.progress import Progress
from localassist.runs.recorder import Recorder
from localassist.runs.subject import Job
from localassist.runs.writer import RunWriter
from localassist.schemas.events import RunEvent
from localassist.storage import run_events, run_steps, runs
from localassist.storage.database import Database, Session
from localassist.storage.tables import RunRow

T = TypeVar("T")
_log = logging.getLogger(__name__)
_SWEEP_SECONDS = 60.0


@dataclass(slots=True)
class _Worker:
    """A run being worked. ``wanted`` is why it is to stop, if it is."""

    recorder: Recorder
    task: asyncio.Task[None]
    wanted: str | None = None
    has_begun: bool = False


@dataclass(frozen=True, slots=True)
class _Claimed:
    """A run to work, and the events of claiming it, which begin at ``next_seq``."""

    job: Job
    next_seq: int
    events: Sequence[RunEvent]


class Executor:
    """Started and closed by the runtime; everything runs on the runtime's event loop.

    ``on_sweep`` is called every minute, for what else has expired.
    """

    def __init__(
        self,
        database: Database,
        writer: RunWriter,
        feed: EventFeed,
        loop: RunLoop,
        settings: RunSettings,
        on_sweep: Callable[[], Awaitable[None]],
        counters: RunCounters,
    ) -> None:
        self._counters = counters
        self._on_sweep = on_sweep
        self._database = database
        self._writer = writer
        self._feed = feed
        self._loop = loop
        self._settings = settings
        self._owner = owner.this_process()
        self._workers: dict[str, _Worker] = {}
        self._progress = Progress(writer, self._owner, self._lost)
        self._wake = Signal()
        self._tasks: list[asyncio.Task[None]] = []
        # Runs that are being stored and taken up in one transaction; each has a worker reserved.
        self._admissions: set[asyncio.Task[Any]] = set()
        self._is_open = False
        self._parked = 0

    @property
    def running(self) -> int:
        """Runs that are being worked, or about to be."""
        return len(self._workers) + len(self._admissions)

    async def start(self) -> None:
        """Free what dead processes of this machine left, then begin to claim."""
        await self._database.write(_release_dead)
        self._is_open = True
        self._tasks = [
            asyncio.create_task(self._claim_forever(), name="runs-claim"),
            asyncio.create_task(self._flush_forever(), name="runs-flush"),
            asyncio.create_task(self._watch_forever(), name="runs-watch"),
            asyncio.create_task(self._sweep_forever(), name="runs-sweep"),
        ]

    def stop_claiming(self) -> None:
        """Take up no further runs; what is queued waits for another process."""
        self._is_open = False

    async def rest(self) -> None:
        """Return when no run is being worked."""
        while busy := {*self._admissions, *(worker.task for worker in self._workers.values())}:
            await asyncio.wait(busy)

    async def park(self) -> int:
        """Stop all runs: each keeps what it has said, and the next process goes on from there.
        Returns how many there were."""
        self.stop_claiming()
        await asyncio.gather(*self._admissions, return_exceptions=True)
        claiming = self._tasks[:1]  # none when the start has failed
        for task in claiming:
            task.cancel()  # or it would take up again what is parked
        await asyncio.gather(*claiming, return_exceptions=True)
        for worker in self._workers.values():
            self._stop(worker, "park")
        await asyncio.gather(
            *(worker.task for worker in self._workers.values()), return_exceptions=True
        )
        return self._parked

    async def close(self) -> None:
        """Park all runs, and give back what was claimed."""
        await self.park()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # What was claimed at the last moment has no worker; nobody should wait for its lease.
        try:
            await self._database.write(lambda session: runs.release_all(session, self._owner))
        except StorageError as error:
            _log.error("leases are left to run out: %s", error.message)

    async def queue(self, change: Callable[[Session], tuple[T, str, list[RunEvent]]]) -> T:
        """Commit a change that queues a run: it returns a result, the run's id and its new events.

        When a worker is free and no other run waits, the same transaction takes the run up, which
        spares it the way through the queue.
        """
        if not self._is_open or self._free_workers() <= 0:
            result = await self._writer.commit(change)
            self._wake.set()
            return result
        # Whoever asked may leave; the run that is stored then must be worked all the same.
        admission = asyncio.create_task(self._admit(change))
        self._admissions.add(admission)
        admission.add_done_callback(self._admissions.discard)
        return await asyncio.shield(admission)

    def cancel(self, run_id: str) -> None:
        """The run's status is ``cancelling`` already; stop working it if it is ours."""
        worker = self._workers.get(run_id)
        if worker is not None:
            self._stop(worker, "cancel")
        self._wake.set()

    def drop(self, run_ids: list[str]) -> None:
        """These runs no longer exist; stop without writing."""
        for run_id in run_ids:
            if run_id in self._workers:
                self._stop(self._workers[run_id], "drop")

    @staticmethod
    def _stop(worker: _Worker, why: str) -> None:
        if worker.wanted is None:
            worker.wanted = why
            # A task that is cancelled before its first step never runs, not even to clean up.
            if worker.has_begun:
                worker.task.cancel()

    # -- claiming -------------------------------------------------------------------------------

    async def _claim_forever(self) -> None:
        while True:
            self._wake.clear()
            await _attempt("claim runs", self._claim())
            await self._wake.wait(self._settings.poll_seconds)

    async def _claim(self) -> None:
        free = self._free_workers()
        if free <= 0 or not self._is_open:
            return
        now = time.time()
        # Also one that is about to leave, or whose lease ran out while this machine slept: it is
        # claimed again when its worker has gone.
        ours = list(self._workers)

        def claim(session: Session) -> list[_Claimed]:
            until = now + self._settings.lease_seconds
            rows = runs.claim(session, self._owner, now=now, until=until, limit=free, besides=ours)
            return [_claimed(session, row) for row in rows]

        # Polling must not take the write lock: most of the time there is nothing to claim.
        if await self._database.read(lambda session: runs.has_claimable(session, now, ours)):
            for claimed in await self._database.write(claim, durable=False):
                self._begin(claimed)

    def _free_workers(self) -> int:
        return self._settings.concurrency - len(self._workers) - len(self._admissions)

    async def _admit(self, change: Callable[[Session], tuple[T, str, list[RunEvent]]]) -> T:
        now = time.time()
        ours = list(self._workers)

        def transaction(session: Session) -> tuple[T, str, list[RunEvent], _Claimed | None]:
            result, run_id, events = change(session)
            # Oldest first: a run that has waited longer gets the worker. A run that is answered
            # before its worker here has quite left is claimed when that has gone.
            if run_id in ours or runs.has_claimable(session, now, [*ours, run_id]):
                return result, run_id, events, None
            until = now + self._settings.lease_seconds
            row = runs.take(session, run_id, self._owner, until=until)
            return result, run_id, events, _claimed(session, row)

        result, run_id, events, claimed = await self._database.write(transaction)
        if claimed is None:
            self._feed.publish(run_id, events)
            self._wake.set()
        else:
            self._begin(claimed, events)
        return result

    def _begin(self, claimed: _Claimed, before: Sequence[RunEvent] = ()) -> None:
        """``before`` are events of the same transaction that precede the claim."""
        job, run_id = claimed.job, claimed.job.run.id
        recorder = Recorder(self._writer, run_id, self._owner, job.timeline, self._counters)
        recorder.on_pending = self._progress.mark
        next_seq = claimed.next_seq - len(before)
        self._feed.keep(job.project, job.run.thread_id, run_id, next_seq)
        self._feed.publish(run_id, [*before, *claimed.events])
        task = asyncio.create_task(self._work(job, recorder), name=run_id)
        self._workers[run_id] = _Worker(recorder, task)
        self._counters.running = len(self._workers)
        for phase in job.timeline.waits()[-1:]:
            if phase.name == QUEUED:
                self._counters.queue_seconds.observe((phase.ms or 0.0) / 1000)

    # -- working --------------------------------------------------------------------------------

    async def _work(self, job: Job, recorder: Recorder) -> None:
        run_id = job.run.id
        worker = self._workers[run_id]
        worker.has_begun = True
        try:
            with (
                logs.bound(run_id=run_id, thread_id=job.run.thread_id),
                spans.bound(job.timeline),
            ):
                spans.past_waits(job.timeline)
                with spans.span("run", parent=job.timeline.traceparent, model=job.run.model):
                    await self._rest_of(worker, job)
        except asyncio.CancelledError:
            await self._wind_up(worker)
        except LeaseLost:
            _log.warning("run %s was taken over or deleted", run_id)
        except Exception:
            # The store refuses even to fail the run. It is taken up again when its lease ends.
            _log.exception("run %s cannot be written", run_id)
        finally:
            self._progress.drop(recorder)
            del self._workers[run_id]
            self._counters.running = len(self._workers)
            self._feed.forget(run_id)
            self._wake.set()

    async def _rest_of(self, worker: _Worker, job: Job) -> None:
        """Work the run to its next rest, unless it was stopped before it began."""
        if worker.wanted is not None:
            await self._wind_up(worker)
        elif job.run.status == "cancelling":
            await worker.recorder.end("cancelled")
        else:
            await self._loop.work(job, worker.recorder)

    async def _wind_up(self, worker: _Worker) -> None:
        """Write what the worker was stopped for."""
        recorder, run_id = worker.recorder, worker.recorder.run_id
        try:
            if worker.wanted == "cancel":
                await recorder.end("cancelled")
            elif worker.wanted == "park":
                await recorder.flush()
                await self._database.write(lambda s: runs.release(s, self._owner, [run_id]))
                self._parked += 1
        except LeaseLost:
            _log.info("run %s had ended before it could be stopped", run_id)
        except Exception:
            _log.exception("run %s could not be stopped cleanly", run_id)

    # -- progress -------------------------------------------------------------------------------

    async def _flush_forever(self) -> None:
        while True:
            await _attempt("store progress", self._progress.store())
            await asyncio.sleep(self._settings.flush_seconds)

    def _lost(self, recorder: Recorder) -> None:
        worker = self._workers.get(recorder.run_id)
        if worker is not None and worker.recorder is recorder:
            self._stop(worker, "drop")

    # -- watching -------------------------------------------------------------------------------

    async def _watch_forever(self) -> None:
        """Renew leases, notice cancellations by other processes, expire what waited too long."""
        while True:
            await asyncio.sleep(self._settings.poll_seconds)
            await _attempt("renew leases", self._renew())
            await _attempt("expire runs", self._expire())

    async def _expire(self) -> None:
        for seconds in await self._writer.expire_waiting():
            self._counters.run_seconds["expired"].observe(seconds)

    async def _renew(self) -> None:
        if not self._workers:
            return
        known = dict(self._workers)
        until = time.time() + self._settings.lease_seconds
        news = {
            run_id: record
            for run_id, worker in known.items()
            if (record := worker.recorder.news()) is not None
        }
        held = await self._database.write(
            lambda session: runs.renew(
                session, self._owner, list(known), until=until, timelines=news
            ),
            durable=False,
        )
        for run_id, worker in known.items():
            if self._workers.get(run_id) is not worker:
                continue  # it has left meanwhile
            if run_id not in held:
                self._stop(worker, "drop")
            elif held[run_id] == "cancelling":
                self._stop(worker, "cancel")

    async def _sweep_forever(self) -> None:
        """Clean up. Apart from the watch, which must not wait for a slow disk."""
        while True:
            await _attempt("clean up", self._sweep())
            await asyncio.sleep(_SWEEP_SECONDS)

    async def _sweep(self) -> None:
        before = clock.now() - self._settings.log_retention_seconds
        await self._database.write(lambda session: run_events.delete_logs(session, before))
        await self._database.write(_release_dead)
        await self._on_sweep()


async def _attempt(what: str, step: Coroutine[Any, Any, object]) -> None:
    """One step of a loop that must go on whatever happens in it."""
    try:
        await step
    except StorageError as error:
        _log.error("cannot %s: %s", what, error.message)
    except Exception:
        _log.exception("cannot %s", what)


def _release_dead(session: Session) -> None:
    for holder in runs.lease_owners(session):
        if owner.is_dead(holder):
            runs.release_all(session, holder)


def _claimed(session: Session, row: RunRow) -> _Claimed:
    """A run whose lease was just taken; one that waited is in progress from now on."""
    next_seq = row.last_event_seq + 1
    is_taken_over = row.status == "in_progress"
    events: list[RunEvent] = []
    if row.status == "queued":
        events = changes.start_run(session, row)
    elif is_taken_over:
        row.timeline = timeline.taken_over(row.timeline)
    return _Claimed(_job(session, row, is_taken_over), next_seq, events)


def _job(session: Session, row: RunRow, is_taken_over: bool) -> Job:
    used = Usage()
    for step in run_steps.of_run(session, row.id):
        if step.usage is not None:
            used += Usage(step.usage["prompt_tokens"], step.usage["completion_tokens"])
    sampling = row.request["temperature"], row.request["top_p"]
    return Job(
        runs.to_wire(row),
        row.project_id,
        *sampling,
        used,
        row.interruptions,
        is_taken_over,
        row.request.get("code_limits", {}),  # runs of earlier releases have none
        Timeline(row.timeline),
    )
