"""Text deltas and call fragments of all runs, stored together.

One step of the engine gives every run a piece; storing each in a transaction of its own would cost
a processor core more than the model leaves. Knows nothing of what the events say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from contextlib import AsyncExitStack

from localassist.runs.recorder import Recorder
from localassist.runs.writer import RunWriter, settled
from localassist.storage.run_events import NewEvent


class Progress:
    """What the recorders of one process have buffered. ``on_lost`` is told of a recorder whose
    lease is gone."""

    def __init__(self, writer: RunWriter, owner: str, on_lost: Callable[[Recorder], None]) -> None:
        self._writer = writer
        self._owner = owner
        self._on_lost = on_lost
        self._marked: dict[Recorder, None] = {}
        self._has_marked = asyncio.Event()

    def mark(self, recorder: Recorder) -> None:
        """The recorder has something to store."""
        self._marked[recorder] = None
        self._has_marked.set()

    def drop(self, recorder: Recorder) -> None:
        """The recorder's worker has ended."""
        self._marked.pop(recorder, None)

    async def store(self) -> None:
        """Wait until something is marked and store it. Raises StorageError; what could not be
        stored stays buffered, and the run's next change stores it or fails."""
        await self._has_marked.wait()
        self._has_marked.clear()
        recorders, self._marked = list(self._marked), {}
        async with AsyncExitStack() as turns:
            for recorder in recorders:
                await turns.enter_async_context(recorder.turn)
            taken = {r: pending for r in recorders if (pending := r.take_pending())}
            if taken:
                await self._commit(taken)

    async def _commit(self, taken: dict[Recorder, list[NewEvent]]) -> None:
        def put_back(recorders: Collection[Recorder]) -> None:
            for recorder in recorders:
                recorder.put_back(taken[recorder])

        progress = {recorder.run_id: pending for recorder, pending in taken.items()}
        commit = self._writer.commit_progress(self._owner, progress)
        lost_ids = await settled(commit, lambda: put_back(taken))
        lost = [recorder for recorder in taken if recorder.run_id in lost_ids]
        put_back(lost)
        for recorder in lost:
            self._on_lost(recorder)
