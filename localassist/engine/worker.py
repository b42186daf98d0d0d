"""The owner thread: the only one that runs the model. Requests in by a queue, items out by streams.

It takes what has arrived, asks the scheduler for a step, runs it, lets every request read its
logits, and hands over what came of it. An error in one request ends that request; an error of the
backend ends all of them and the worker.
"""

from __future__ import annotations

import atexit
import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

from localassist.engine.backend import Backend, BackendError, Limits
from localassist.engine.batch import Output, build_batch
from localassist.engine.delivery import Outbox, Stream
from localassist.engine.generation import Progress, Task
from localassist.engine.kv_cache import Copy, KvCache, Operation
from localassist.engine.prefix_cache import PrefixCache
from localassist.engine.scheduler import Plan, Scheduler
from localassist.engine.sequence import Sequence
from localassist.errors import GenerationFailed, LocalAssistError, ShuttingDown

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EngineCounters:
    """Totals since the start, and the state after the last step."""

    steps: int = 0
    rows: int = 0
    widest_step: int = 0
    """Most sequences that shared one step."""
    preemptions: int = 0
    evictions: int = 0
    running: int = 0
    waiting: int = 0
    used_cells: int = 0
    pinned_cells: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A task, who listens to it, and its live sequences."""

    task: Task
    stream: Stream
    sequences: set[Sequence]


@dataclass(frozen=True, slots=True)
class _Abort:
    job: Job


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
        self, open_backend: Callable[[], Backend], *, max_sequences: int, name: str
    ) -> None:
        """Waits until the backend is open; raises what ``open_backend`` raises."""
        self.counters = EngineCounters()
        self.has_failed = False
        self._inbox: queue.SimpleQueue[Job | _Abort | None] = queue.SimpleQueue()
        self._gate = threading.Lock()  # orders submissions against the end of the worker
        self._end: Callable[[], LocalAssistError] | None = None
        self._jobs: dict[Job, None] = {}
        self._owners: dict[Sequence, Job] = {}
        self._outbox = Outbox()
        opened: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._main,
            args=(open_backend, max_sequences, opened),
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

    def _main(
        self, open_backend: Callable[[], Backend], max_sequences: int, opened: Future[None]
    ) -> None:
        try:
            self.backend = open_backend()
            self.scheduler = _scheduler_for(self.backend.limits, max_sequences)
        except BaseException as error:
            opened.set_exception(error)
            return
        opened.set_result(None)
        self._run()

    def _run(self) -> None:
        end: Callable[[], LocalAssistError] = partial(ShuttingDown, "The engine is shutting down.")
        try:
            while self._take_inbox():
                if self.scheduler.has_work:
                    self._step()
                self._flush()
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
                message = self._inbox.get(block=not self.scheduler.has_work)
            except queue.Empty:
                return True
            match message:
                case None:
                    return False
                case Job():
                    self._start(message)
                    self._flush()
                case _Abort(job):
                    self._remove(job)
                    self._count()

    def _step(self) -> None:
        plan = self.scheduler.schedule()
        self._apply(plan.operations)
        batch, outputs = build_batch(plan.chunks)
        if not batch.tokens:
            raise BackendError("the scheduler found nothing to do")
        self.backend.forward(batch)
        self.scheduler.complete(plan)
        for output in outputs:
            self._advance(output)
        self._count(plan)

    def _apply(self, operations: list[Operation]) -> None:
        for operation in operations:
            if isinstance(operation, Copy):
                self.backend.copy_sequence(operation.source, operation.target, operation.length)
            else:
                self.backend.truncate_sequence(operation.slot, operation.length)

    def _start(self, job: Job) -> None:
        self._jobs[job] = None
        try:
            self._follow(job, job.task.start())
        except Exception as error:
            self._fail(job, error)

    def _advance(self, output: Output) -> None:
        job = self._owners.get(output.sequence)
        if job is None:  # an earlier row of this step ended the job
            return
        try:
            self._follow(job, job.task.advance(output))
        except BackendError:
            raise
        except Exception as error:
            self._fail(job, error)

    def _follow(self, job: Job, progress: Progress) -> None:
        for sequence in progress.done:
            self._finish(job, sequence)
        for sequence in progress.start:
            job.sequences.add(sequence)
            self._owners[sequence] = job
            self.scheduler.add(sequence)
        if progress.piece is not None:
            self._outbox.add(job.stream, progress.piece)
        if progress.end is not None:
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
        self.scheduler.finish(sequence)

    def _flush(self) -> None:
        for stream in self._outbox.flush():
            for job in [job for job in self._jobs if job.stream is stream]:
                self._remove(job)

    def _count(self, plan: Plan | None = None) -> None:
        before, scheduler = self.counters, self.scheduler
        chunks = plan.chunks if plan is not None else []
        self.counters = EngineCounters(
            steps=before.steps + (plan is not None),
            rows=before.rows + sum(chunk.count for chunk in chunks),
            widest_step=max(before.widest_step, len(chunks)),
            preemptions=scheduler.preemptions,
            evictions=scheduler.cache.evictions,
            running=scheduler.running,
            waiting=scheduler.waiting,
            used_cells=scheduler.kv.used_cells,
            pinned_cells=scheduler.kv.pinned_cells,
        )

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


def _scheduler_for(limits: Limits, max_sequences: int) -> Scheduler:
    kv = KvCache(cells=limits.cells, slots=limits.sequence_ids)
    return Scheduler(
        kv,
        PrefixCache(kv, can_share=limits.can_truncate),
        max_sequences=max_sequences,
        batch_tokens=limits.batch_rows,
        logits_rows=limits.logits_rows,
    )
