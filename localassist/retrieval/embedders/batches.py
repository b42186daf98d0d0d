"""A model's one thread, shared by the batch."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence, Sized
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from localassist.retrieval.embedders.base import Vectors

Item = TypeVar("Item", bound=Sized)

# Every so many batches the oldest job has its turn, or short ones could hold it up for ever.
_TURN_OF_THE_OLDEST = 4


@dataclass(eq=False)
class _Job:
    """Texts of one caller. ``order`` are the rows not yet done, those of like length together."""

    items: Sequence[Any]
    order: list[int]
    left: int
    result: Vectors
    future: Future[Vectors] = field(default_factory=Future)


class BatchQueue:
    """Computes items (what they are is the model's business; ``len`` tells how much work one is) on
    a thread of its own, in batches of like lengths.

    After each batch comes the job with the least left, so that a question overtakes a file.
    ``batch_length`` limits the padded length of a batch, and so how long it takes.
    """

    def __init__(
        self,
        forward: Callable[[list[Any]], Vectors],
        dimensions: int,
        *,
        batch_items: int,
        batch_length: int,
    ) -> None:
        self._forward = forward
        self._dimensions = dimensions
        self._batch_items = batch_items
        self._batch_length = batch_length
        self._jobs: list[_Job] = []
        self._changed = threading.Condition()
        self._is_closed = False
        self._batches = 0
        self._thread = threading.Thread(target=self._work, name="embedder", daemon=True)
        self._thread.start()

    async def run(self, items: Sequence[Item]) -> Vectors:
        """Vectors of the items, float32 [n, dimensions]. Cancelling drops what is left."""
        lengths = [len(item) for item in items]
        order = sorted(range(len(items)), key=lengths.__getitem__, reverse=True)
        result = np.empty((len(items), self._dimensions), dtype=np.float32)
        if not order:
            return result
        job = _Job(items, order, sum(lengths), result)
        with self._changed:
            if self._is_closed:
                raise RuntimeError("this embedder is closed")
            self._jobs.append(job)
            self._changed.notify()
        return await asyncio.wrap_future(job.future)

    def close(self) -> None:
        """End after the batch that is being computed; open jobs are cancelled."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()
        for job in self._jobs:
            job.future.cancel()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._jobs = [job for job in self._jobs if not job.future.done()]
                while not self._jobs and not self._is_closed:
                    self._changed.wait()
                if self._is_closed:
                    return
                job = self._next()
            self._advance(job)

    def _next(self) -> _Job:
        self._batches += 1
        if self._batches % _TURN_OF_THE_OLDEST == 0:
            return self._jobs[0]
        return min(self._jobs, key=lambda job: job.left)

    def _advance(self, job: _Job) -> None:
        """Compute the job's next batch, shortest items first."""
        rows: list[int] = []
        while job.order and len(rows) < self._batch_items:
            longest = len(job.items[job.order[-1]])
            if rows and longest * (len(rows) + 1) > self._batch_length:
                break
            rows.append(job.order.pop())
            job.left -= longest
        try:
            job.result[rows] = self._forward([job.items[row] for row in rows])
        except Exception as error:
            _settle(job.future, error)
        else:
            if not job.order:
                _settle(job.future, job.result)


def _settle(future: Future[Vectors], outcome: Vectors | Exception) -> None:
    """Unless its caller has gone meanwhile."""
    if not future.set_running_or_notify_cancel():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
