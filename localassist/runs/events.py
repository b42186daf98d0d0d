"""Reading a run's event log: from the start or any position, then live, to its end.

Every stream is such a reader, so what a stream says and what polling sees cannot differ, and a
dropped stream can be attached again.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from localassist.errors import ShuttingDown
from localassist.runs.feed import EventFeed
from localassist.schemas.events import CLOSING_EVENTS, RunEvent, run_event_name
from localassist.storage import run_events, runs
from localassist.storage.database import Database, Session

Batch = list[RunEvent]


class EventLog:
    """Readers of run event logs."""

    def __init__(self, database: Database, feed: EventFeed, *, poll_seconds: float) -> None:
        self._database = database
        self._feed = feed
        self._poll_seconds = poll_seconds
        self._is_closed = False

    def close(self) -> None:
        """Let readers have what is there, and wait for nothing more."""
        self._is_closed = True
        self._feed.wake()

    async def read(
        self, project: str, thread_id: str, run_id: str, *, after_seq: int = -1
    ) -> AsyncGenerator[Batch, None]:
        """Events behind ``after_seq`` until the run ends or waits for tool outputs, in batches of
        what is there at the same time.

        A wait that is already over (the log goes on behind it) is passed. When the log of an old
        run has been deleted, its final state is the only event. Raises ResourceNotFound, also for a
        run of another project or thread and when the run is deleted meanwhile, and ShuttingDown
        when the log is closed before the run has come to rest.
        """
        last = after_seq
        with self._feed.listening(run_id) as more:
            while True:
                more.clear()
                events = self._feed.after(project, thread_id, run_id, last)
                if events is None:
                    events = await self._stored(project, thread_id, run_id, last)
                if events:
                    yield events
                    last = events[-1].seq
                    if events[-1].name in CLOSING_EVENTS:
                        return
                elif self._is_closed:
                    raise ShuttingDown(
                        f"The service was stopped before {run_id} had ended. The run is kept, and "
                        "goes on when the service is back: look at it then, or attach again."
                    )
                else:
                    # Not for longer: another process may be writing.
                    await more.wait(self._poll_seconds)

    async def _stored(self, project: str, thread_id: str, run_id: str, last: int) -> list[RunEvent]:
        def load(session: Session) -> list[RunEvent]:
            row = runs.row(session, project, thread_id, run_id)
            events = run_events.read(session, run_id, last)
            if not events and row.ended_at is not None:
                # Nothing will follow: either the log was deleted, or the reader has seen it all
                # and asks again; the final state is the right answer to both.
                run = runs.to_wire(row)
                return [RunEvent(row.last_event_seq, run_event_name(run.status), run.dump())]
            return events

        return await self._database.read(load)


async def flat(batches: AsyncGenerator[Batch, None]) -> AsyncGenerator[RunEvent, None]:
    """The events of all batches, one by one."""
    async with aclosing(batches):
        async for batch in batches:
            for event in batch:
                yield event
