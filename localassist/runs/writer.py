"""What callers may do to runs: cancel them, answer their tool calls, let them expire.

Each is one transaction of rows and events, announced once it is committed. What the worker of a
run writes is in ``recorder``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from localassist import clock
from localassist.errors import InvalidRequest, ResourceNotFound
from localassist.runs import calls, changes, state
from localassist.runs.feed import EventFeed
from localassist.schemas.events import RunEvent
from localassist.schemas.runs import Run
from localassist.storage import run_events, runs
from localassist.storage.database import Database, Session
from localassist.storage.run_events import NewEvent

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Submitted:
    """A run whose tool outputs were accepted; its next events follow ``after_seq``."""

    run: Run
    after_seq: int


class RunWriter:
    """Changes that callers ask for. ``publish`` announces what was committed."""

    def __init__(self, database: Database, feed: EventFeed) -> None:
        self._database = database
        self._feed = feed

    async def commit(
        self, change: Callable[[Session], tuple[T, str, list[RunEvent]]], *, durable: bool = True
    ) -> T:
        """Run ``change`` in a transaction; it returns a result, the run's id and its new events."""
        result, run_id, events = await self._database.write(change, durable=durable)
        self._feed.publish(run_id, events)
        return result

    async def commit_progress(
        self, owner: str, progress: Mapping[str, Sequence[NewEvent]]
    ) -> frozenset[str]:
        """Store new events of several runs, by run id, in one transaction; returns the ids of the
        runs whose lease ``owner`` holds no more, of which nothing was stored."""
        stored = await self._database.write(
            lambda session: run_events.append_progress(session, owner, progress), durable=False
        )
        for run_id, events in stored.items():
            self._feed.publish(run_id, events)
        return frozenset(progress.keys() - stored.keys())

    async def cancel(self, project: str, thread_id: str, run_id: str) -> Run:
        """Ask for the end of a run; a worker brings it about. InvalidRequest when too late."""

        def change(session: Session) -> tuple[Run, str, list[RunEvent]]:
            row = runs.row(session, project, thread_id, run_id, for_update=True)
            if row.status == "cancelling" or row.status in state.TERMINAL:
                raise InvalidRequest(f"Cannot cancel run with status '{row.status}'.")
            row.required_action = None
            events = changes.change_status(session, row, "cancelling")
            return runs.to_wire(row), row.id, events

        return await self.commit(change)

    async def expire_waiting(self) -> list[int]:
        """End all runs that waited for tool outputs too long; returns how many seconds each was
        there."""
        found = await self._database.read(
            lambda session: [
                (row.project_id, row.thread_id, row.id)
                for row in runs.expired(session, clock.now())
            ]
        )
        expired = [await self._expire(*one) for one in found]
        return [seconds for seconds in expired if seconds is not None]

    async def _expire(self, project: str, thread_id: str, run_id: str) -> int | None:
        """None when the run was answered or deleted in the meantime."""

        def change(session: Session) -> tuple[int | None, str, list[RunEvent]]:
            row = runs.row(session, project, thread_id, run_id, for_update=True)
            if row.status != "requires_action" or (row.expires_at or 0) > clock.now():
                return None, row.id, []
            seconds = max(0, clock.now() - row.created_at)
            return seconds, row.id, changes.end_run(session, row, "expired")

        try:
            return await self.commit(change)
        except ResourceNotFound:
            return None


def submission(
    project: str, thread_id: str, run_id: str, outputs: Sequence[tuple[str, str]]
) -> Callable[[Session], tuple[Submitted, str, list[RunEvent]]]:
    """The change that stores the outputs (call id, text) of all calls the run waits for and queues
    it again.

    It raises InvalidRequest in the wrong state or when the ids are not exactly those asked for.
    """

    def change(session: Session) -> tuple[Submitted, str, list[RunEvent]]:
        row = runs.row(session, project, thread_id, run_id, for_update=True)
        if row.status == "requires_action" and (row.expires_at or 0) <= clock.now():
            status = "expired"  # the sweep has not come by yet
        else:
            status = row.status
        if status != "requires_action":
            raise InvalidRequest(f'Runs in status "{status}" do not accept tool outputs.')
        calls.check_outputs(row, [call_id for call_id, _ in outputs])
        before = row.last_event_seq
        events = changes.answer_calls(session, row, dict(outputs))
        row.required_action = None
        events += changes.change_status(session, row, "queued")
        return Submitted(runs.to_wire(row), before), row.id, events

    return change


async def settled(commit: Coroutine[Any, Any, T], on_failure: Callable[[], None]) -> T:
    """The result of a transaction that cannot be called back once it is on its way: whoever is
    cancelled meanwhile learns how it ended before going on. ``on_failure`` is called when nothing
    was stored."""
    task = asyncio.ensure_future(commit)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if task.exception() is not None:
            on_failure()
        raise
    except Exception:
        on_failure()
        raise
