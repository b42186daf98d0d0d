"""Reading a run's event log: from the start or any position, then live, to its end.

Every stream is such a reader, so what a stream says and what polling sees cannot differ, and a
dropped stream can be attached again.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from localassist.runs.feed import EventFeed, wait_for_event
from localassist.schemas.events import CLOSING_EVENTS, RunEvent, run_event_name
from localassist.storage import run_events, runs
from localassist.storage.database import Database, Session


class EventLog:
    """Readers of run event logs."""

    def __init__(self, database: Database, feed: EventFeed, *, poll_seconds: float) -> None:
        self._database = database
        self._feed = feed
        self._poll_seconds = poll_seconds

    async def read(
        self, project: str, thread_id: str, run_id: str, *, after_seq: int = -1
    ) -> AsyncGenerator[RunEvent, None]:
        """Events behind ``after_seq`` until the run ends or waits for tool outputs.

        A wait that is already over (the log goes on behind it) is passed. When the log of an old
        run has been deleted, its final state is the only event. Raises ResourceNotFound, also for a
        run of another project or thread and when the run is deleted meanwhile.
        """
        last = after_seq
        with self._feed.listening(run_id) as more:
            # The log is asked first, whatever memory holds: it knows whose run this is.
            events = await self._stored(project, thread_id, run_id, last)
            while True:
                for event in events:
                    yield event
                    last = event.seq
                if events and events[-1].name in CLOSING_EVENTS:
                    return
                if not events:
                    # Not for longer: another process may be writing.
                    await wait_for_event(more, self._poll_seconds)
                more.clear()
                recent = self._feed.after(run_id, last)
                if recent is None:
                    recent = await self._stored(project, thread_id, run_id, last)
                events = recent

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
