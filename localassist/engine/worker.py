"""The owner thread: the only one that runs the model. Requests in by a queue, items out by streams.

It takes what has arrived, asks the scheduler for a step, runs it, lets every request read its
logits, and hands over what came of it. An error in one request ends that request; an error of the
backend ends all of them and the worker. When nobody wants anything, it saves the KV cells of idle
conversations, so that making room for others later costs nothing and a restart finds them.
"""

from __future__ import annotations

import atexit
import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import monotonic, perf_counter

from localassist.engine.backend import Backend, BackendError, Batch
from localassist.engine.batch import Output, build_batch
from localassist.engine.config import EngineSettings
from localassist.engine.counters import EngineCounters
from localassist.engine.crew import Crew
from localassist.engine.delivery import Outbox, Stream
from localassist.engine.footprint import MIB, snapshot_memory_bytes
from localassist.engine.generation import Progress, Task
from localassist.engine.kv_cache import KvCache
from localassist.engine.pace import Pace
from localassist.engine.prefix_cache import PrefixCache
from localassist.engine.request import Finished
from localassist.engine.scheduler import Chunk, Plan, Scheduler
from localassist.engine.sequence import Sequence
from localassist.engine.snapshots import SnapshotStore
from localassist.errors import GenerationFailed, LocalAssistError, ShuttingDown

_log = logging.getLogger(__name__)

# A conversation is saved once nobody has wanted anything for so long: saving takes milliseconds, in
# which a new request would wait.
_QUIET_SECONDS = 0.5
# A snapshot on its way from the disk wakes the worker; this is for one that never arrives.
_SNAPSHOT_SECONDS = 1.0
_LAST_SAVES_SECONDS = 10.0
_DRAFT_ROWS = 32


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A task, who listens to it, and its live sequences."""

    task: Task
    stream: Stream
    sequences: set[Sequence]


@dataclass(frozen=True, slots=True)
class _Abort:
    job: Job


class _Wake:
    """A snapshot has arrived."""


class Worker:
    """Runs jobs on its own thread from construction until ``close`` or a backend error.

    The backend is opened on that thread too. OpenMP keeps a team of threads for every thread that
    has ever computed; with a second team, left behind by whoever loaded the model, there are more
    than the processor has cores, so that they sleep instead of spinning at each of the hundreds of
    barriers of a pass, which then takes three times as long.
    """

    backend: Backend
    scheduler: Scheduler

    def __init__(
        self,
        open_backend: Callable[[], Backend],
        settings: EngineSettings,
        *,
        name: str,
        snapshot_folder: Path | None = None,
    ) -> None:
        """Waits until the backend is open; raises what ``open_backend`` raises."""
        self.has_failed = False
        self._settings = settings
        self._snapshot_folder = snapshot_folder
        self._store: SnapshotStore | None = None
        self._is_stalled = False  # all that is left to do waits for snapshots
        self._has_unsaved = False
        self._totals = EngineCounters()
        self._pace = Pace(settings.longest_gap)
        self._crew = _crew_for(settings)
        self._threads: int | None = None  # as last set
        self._inbox: queue.SimpleQueue[Job | _Abort | _Wake | None] = queue.SimpleQueue()
        self._gate = threading.Lock()  # orders submissions against the end of the worker
        self._end: Callable[[], LocalAssistError] | None = None
        self._jobs: dict[Job, None] = {}
        self._owners: dict[Sequence, Job] = {}
        self._outbox = Outbox()
        opened: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._main,
            args=(open_backend, opened),
            name=f"engine-{name}",
            daemon=True,
        )
        self._thread.start()
        try:
            opened.result()
        except BaseException:
            self._thread.join()
            raise
        # A daemon thread inside C code must not outlive the interpreter.
        atexit.register(self.close)

    def submit(self, task: Task, stream: Stream) -> Job:
        """Queue a task. Raises at once when the worker has ended."""
        job = Job(task, stream, set())
        with self._gate:
            if self._end is not None:
                raise self._end()
            self._inbox.put(job)
        return job

    def abort(self, job: Job) -> None:
        """End a job before the next step; a job that is already over is left alone."""
        self._inbox.put(_Abort(job))

    def close(self) -> None:
        """End every job with ShuttingDown, stop the thread and wait for it. Idempotent."""
        atexit.unregister(self.close)
        self._inbox.put(None)
        self._thread.join()

    @property
    def queued(self) -> int:
        """Requests that wait for a place."""
        return self.scheduler.waiting + self._inbox.qsize()

    @property
    def counters(self) -> EngineCounters:
        """A copy, readable from any thread."""
        scheduler = self.scheduler
        held = None if self._store is None else self._store.counters
        return replace(
            self._totals,
            restored_tokens=scheduler.cache.restored_tokens,
            preemptions=scheduler.preemptions,
            evictions=scheduler.cache.evictions,
            running=scheduler.running,
            waiting=scheduler.waiting,
            used_cells=scheduler.kv.used_cells,
            pinned_cells=scheduler.kv.pinned_cells,
            snapshot_memory_bytes=0 if held is None else held.memory_bytes,
            snapshot_disk_bytes=0 if held is None else held.disk_bytes,
        )

    def _main(self, open_backend: Callable[[], Backend], opened: Future[None]) -> None:
        try:
            self._open(open_backend)
        except BaseException as error:
            opened.set_exception(error)
            return
        opened.set_result(None)
        self._run()
        if self._store is not None:
            self._store.close()

    def _open(self, open_backend: Callable[[], Backend]) -> None:
        """All or nothing: the memory of a model that cannot be used is given back."""
        self.backend = open_backend()
        try:
            self._store = self._open_store()
            self.scheduler = self._create_scheduler()
        except BaseException:
            if self._store is not None:
                self._store.close()
            self.backend.close()
            raise

    def _open_store(self) -> SnapshotStore | None:
        settings, limits = self._settings, self.backend.limits
        if not limits.can_truncate:
            return None
        memory_bytes = snapshot_memory_bytes(settings, limits.cells * limits.cell_bytes)
        disk_bytes = settings.snapshot_disk_mb * MIB if self._snapshot_folder is not None else 0
        store = SnapshotStore(
            self._snapshot_folder,
            self.backend.fingerprint,
            memory_bytes=memory_bytes,
            disk_bytes=disk_bytes,
            on_ready=lambda: self._inbox.put(_Wake()),
        )
        return store if memory_bytes + disk_bytes > 0 else None  # nothing that is put there stays

    def _create_scheduler(self) -> Scheduler:
        limits, settings = self.backend.limits, self._settings
        idle_cells = settings.idle_cells
        if idle_cells is None and settings.gpu_layers == 0 and self._store is not None:
            idle_cells = 0
        kv = KvCache(self.backend, cells=limits.cells, slots=limits.sequence_ids)
        cache = PrefixCache(kv, self._store, can_share=limits.can_truncate, idle_cells=idle_cells)
        return Scheduler(
            kv,
            cache,
            max_sequences=settings.max_sequences,
            batch_tokens=limits.batch_rows,
            logits_rows=limits.logits_rows,
            draft_rows=_DRAFT_ROWS,
            pace=self._pace,
        )

    def _run(self) -> None:
        end: Callable[[], LocalAssistError] = partial(ShuttingDown, "The engine is shutting down.")
        try:
            while self._take_inbox():
                if self.scheduler.has_work:
                    self._step()
                self._flush()
            self._save_all()
        except Exception as error:
            # Whatever it was, the context can no longer be trusted.
            _log.exception("the engine has stopped")
            end = partial(GenerationFailed, f"The engine has stopped after an error: {error}")
            self.has_failed = True
        self._end_all(end)

    def _take_inbox(self) -> bool:
        """Take everything that has arrived, waiting when there is nothing else to do."""
        while True:
            try:
                message = self._inbox.get(timeout=self._patience())
            except queue.Empty:
                if self.scheduler.has_work:
                    self._is_stalled = False
                    return True
                self._save_one()
                continue
            self._is_stalled = False
            match message:
                case None:
                    return False
                case Job():
                    self._start(message)
                    self._flush()
                case _Abort(job):
                    self._remove(job)

    def _patience(self) -> float | None:
        """Seconds to wait for a message before turning to something else; None is for ever."""
        if self.scheduler.has_work:
            return _SNAPSHOT_SECONDS if self._is_stalled else 0
        return _QUIET_SECONDS if self._has_unsaved else None

    def _save_one(self) -> None:
        """Save one idle segment; while there are more, go on as long as no message is there."""
        while self._has_unsaved and self._inbox.empty():
            self._has_unsaved = self._store is not None and self.scheduler.cache.save_some()

    def _save_all(self) -> None:
        """Save what is not saved yet, before an orderly end."""
        for job in list(self._jobs):
            for sequence in list(job.sequences):
                self._finish(job, sequence)
        deadline = monotonic() + _LAST_SAVES_SECONDS
        while self._store is not None and monotonic() < deadline:
            if not self.scheduler.cache.save_some():
                return

    def _step(self) -> None:
        plan = self.scheduler.schedule()
        if not plan.chunks:
            self._is_stalled = True
            return
        batch, outputs = build_batch(plan.chunks)
        seconds = self._compute(batch)
        if plan.drafted == 0:
            self._pace.observe(plan.answers, plan.rows - plan.answers, seconds)
        self.scheduler.complete(plan)
        wanted: dict[Sequence, list[Output]] = {}
        for output in outputs:
            wanted.setdefault(output.sequence, []).append(output)
        for chunk in plan.chunks:
            if chunk.sequence in wanted:
                self._advance(chunk, wanted[chunk.sequence])
        self._has_unsaved = True
        self._count(plan, len(batch), len(outputs))

    def _compute(self, batch: Batch) -> float:
        """Run a pass; returns the seconds it took."""
        if self._crew is not None:
            threads = self._crew.threads(len(batch))
            if threads != self._threads:
                self._threads = threads
                self.backend.set_threads(threads)
        started = perf_counter()
        self.backend.forward(batch)
        ended = perf_counter()
        if self._crew is not None:
            self._crew.observe(len(batch), ended - started, ended)
        return ended - started

    def _count(self, plan: Plan, rows: int, wanted_rows: int) -> None:
        totals = self._totals
        totals.steps += 1
        totals.rows += rows
        totals.widest_step = max(totals.widest_step, len(plan.chunks))
        totals.prefilled_tokens += rows - wanted_rows
        totals.drafted_tokens += plan.drafted

    def _start(self, job: Job) -> None:
        self._jobs[job] = None
        try:
            self._follow(job, job.task.start())
        except Exception as error:
            self._fail(job, error)

    def _advance(self, chunk: Chunk, outputs: list[Output]) -> None:
        """Let the job read its rows, and drop the cells of guesses that were wrong."""
        job = self._owners.get(chunk.sequence)
        if job is None:  # another sequence of this step ended the job
            return
        try:
            progress = job.task.advance(outputs)
        except BackendError:
            raise
        except Exception as error:
            self._fail(job, error)
            return
        if chunk.drafted:
            self.scheduler.settle(chunk)
        self._follow(job, progress)

    def _follow(self, job: Job, progress: Progress) -> None:
        self._totals.forced_tokens += progress.forced_tokens
        self._totals.accepted_tokens += progress.accepted_tokens
        for sequence in progress.done:
            self._finish(job, sequence)
        for sequence in progress.start:
            job.sequences.add(sequence)
            self._owners[sequence] = job
            self.scheduler.add(sequence)
        if progress.piece is not None:
            self._outbox.add(job.stream, progress.piece)
        if progress.end is not None:
            if isinstance(progress.end, Finished):
                self._totals.generated_tokens += progress.end.usage.completion_tokens
            self._outbox.add(job.stream, progress.end)
            self._remove(job)

    def _fail(self, job: Job, error: Exception) -> None:
        """End one job with an error; the others go on."""
        if not isinstance(error, LocalAssistError):
            _log.error("a request failed", exc_info=error)
            error = GenerationFailed(f"The request failed inside the engine: {error}")
        self._outbox.add(job.stream, error)
        self._remove(job)

    def _remove(self, job: Job) -> None:
        """Forget a job and free what it holds. Idempotent."""
        if job not in self._jobs:
            return
        del self._jobs[job]
        for sequence in list(job.sequences):
            self._finish(job, sequence)
        job.task.close()

    def _finish(self, job: Job, sequence: Sequence) -> None:
        job.sequences.discard(sequence)
        del self._owners[sequence]
        self._totals.cached_tokens += sequence.cached_tokens or 0
        self.scheduler.finish(sequence)

    def _flush(self) -> None:
        for stream in self._outbox.flush():
            for job in [job for job in self._jobs if job.stream is stream]:
                self._remove(job)

    def _end_all(self, end: Callable[[], LocalAssistError]) -> None:
        """Refuse new jobs and end all others, also those that have not been looked at yet."""
        with self._gate:
            self._end = end
        while not self._inbox.empty():
            message = self._inbox.get()
            if isinstance(message, Job):
                self._jobs[message] = None
        for job in list(self._jobs):
            self._outbox.add(job.stream, end())
            job.task.close()
        self._jobs.clear()
        self._owners.clear()
        self._outbox.flush()


def _crew_for(settings: EngineSettings) -> Crew | None:
    """None where the number of threads is not to change, or hardly matters."""
    if not settings.adapt_threads or settings.gpu_layers != 0:
        return None
    if settings.threads is None or settings.batch_threads is None:
        return None
    return Crew(settings.threads, settings.batch_threads)
