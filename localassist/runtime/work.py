"""What works the runs of a data folder, and removes what has outlived its use between them."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

from localassist.runs.coding import Coding
from localassist.runs.counters import RunCounters
from localassist.runs.events import EventLog
from localassist.runs.executor import Executor
from localassist.runs.feed import EventFeed
from localassist.runs.loop import RunLoop
from localassist.runs.searching import Searcher
from localassist.runs.writer import RunWriter
from localassist.runtime.parts import Parts
from localassist.runtime.retention import retention_of


@dataclass(frozen=True, slots=True)
class Work:
    """``executor`` works the runs, ``writer`` changes them for callers, ``log`` tells of them."""

    executor: Executor
    writer: RunWriter
    log: EventLog
    counters: RunCounters


async def open_work(stack: AsyncExitStack, parts: Parts) -> Work:
    """Start to read files into vector stores and to work runs. ``stack`` parks all runs before
    anything they need is closed."""
    settings, database = parts.settings.runs, parts.database
    feed = EventFeed()
    writer = RunWriter(database, feed)
    searcher = Searcher(database, parts.library, parts.ingest.wait_for, settings)
    loop = RunLoop(database, parts.models, searcher, Coding(database, parts.code), settings)
    counters = RunCounters()
    sweep = _Sweep(parts)
    executor = Executor(database, writer, feed, loop, settings, sweep, counters)
    stack.push_async_callback(executor.close)
    await parts.ingest.start()
    await executor.start()
    log = EventLog(database, feed, poll_seconds=settings.poll_seconds)
    return Work(executor, writer, log, counters)


class _Sweep:
    """Called by the executor now and then."""

    def __init__(self, parts: Parts) -> None:
        self._files = parts.files
        self._ingest = parts.ingest
        self._code = parts.code
        self._retention = retention_of(
            parts.settings, parts.database, parts.files, self._threads_deleted
        )

    async def __call__(self) -> None:
        await self._files.sweep()
        await self._ingest.sweep()
        await self._retention.sweep_in_turn()

    async def _threads_deleted(self, thread_ids: list[str]) -> None:
        for thread_id in thread_ids:
            await self._code.drop(thread_id)
