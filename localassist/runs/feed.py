"""Live events of the runs this process works on, for the streams that read them here.

The event log in the database is the truth; this only spares readers in the same process from
asking it. A reader pulls from its own position, so a slow one holds up nobody and owns no queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from localassist.schemas.events import RunEvent


class EventFeed:
    """Recent events per run, and a way to wait for more. Used on the runtime's event loop only."""

    def __init__(self) -> None:
        self._events: dict[str, list[RunEvent]] = {}
        self._more: dict[str, asyncio.Event] = {}

    def publish(self, run_id: str, events: Sequence[RunEvent]) -> None:
        """Announce events that have been committed, and wake the run's readers."""
        if not events:
            return
        recent = self._events.get(run_id)
        if recent is not None:
            if recent and recent[-1].seq + 1 != events[0].seq:
                recent.clear()  # another process wrote in between; readers ask the log
            recent.extend(events)
        waiting = self._more.pop(run_id, None)
        if waiting is not None:
            waiting.set()

    def keep(self, run_id: str) -> None:
        """Hold the run's events in memory from now on."""
        self._events.setdefault(run_id, [])

    def forget(self, run_id: str) -> None:
        """Let go of the run's events; readers that are behind ask the log."""
        self._events.pop(run_id, None)

    def after(self, run_id: str, seq: int) -> list[RunEvent] | None:
        """Events behind ``seq``; None when memory cannot tell and the log must be asked."""
        recent = self._events.get(run_id)
        if not recent or recent[0].seq > seq + 1:
            return None
        return recent[seq + 1 - recent[0].seq :]

    async def wait(self, run_id: str, seconds: float) -> None:
        """Until the run has new events here, or the time is up (another process may be writing)."""
        waiting = self._more.setdefault(run_id, asyncio.Event())
        if not await wait_for_event(waiting, seconds) and self._more.get(run_id) is waiting:
            del self._more[run_id]


async def wait_for_event(event: asyncio.Event, seconds: float) -> bool:
    """Wait until the event is set or the time is up; whether it was set.

    ``asyncio.wait_for`` will not do: before Python 3.12 it loses a cancellation that arrives
    together with the event.
    """
    if event.is_set():
        return True
    task = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({task}, timeout=seconds)
        return event.is_set()
    finally:
        task.cancel()
