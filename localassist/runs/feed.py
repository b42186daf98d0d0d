"""Live events of the runs this process works on, for the streams that read them here.

The event log in the database is the truth; this only spares readers in the same process from
asking it. A reader pulls from its own position, so a slow one holds up nobody and owns no queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from localassist.schemas.events import RunEvent


@dataclass(slots=True)
class _Recent:
    """Consecutive events; the first has, or will have, the number ``first_seq``."""

    first_seq: int
    events: list[RunEvent]


class EventFeed:
    """Recent events per run, and a way to hear of more. Used on the runtime's event loop only."""

    def __init__(self) -> None:
        self._recent: dict[str, _Recent] = {}
        self._listeners: dict[str, set[asyncio.Event]] = {}

    def publish(self, run_id: str, events: Sequence[RunEvent]) -> None:
        """Announce events that have been committed, and wake the run's readers."""
        if not events:
            return
        recent = self._recent.get(run_id)
        if recent is not None:
            if recent.first_seq + len(recent.events) != events[0].seq:
                # Another process wrote in between; readers that are behind ask the log.
                recent.first_seq, recent.events = events[0].seq, []
            recent.events.extend(events)
        for listener in self._listeners.get(run_id, ()):
            listener.set()

    def keep(self, run_id: str, next_seq: int) -> None:
        """Hold the run's events in memory from ``next_seq`` on."""
        self._recent[run_id] = _Recent(next_seq, [])

    def forget(self, run_id: str) -> None:
        """Let go of the run's events; readers that are behind ask the log."""
        self._recent.pop(run_id, None)

    def after(self, run_id: str, seq: int) -> list[RunEvent] | None:
        """Events behind ``seq``; None when memory cannot tell and the log must be asked."""
        recent = self._recent.get(run_id)
        if recent is None or seq + 1 < recent.first_seq:
            return None
        return recent.events[seq + 1 - recent.first_seq :]

    @contextmanager
    def listening(self, run_id: str) -> Iterator[asyncio.Event]:
        """A reader's own event, set whenever the run has new events here. Clear it, look, and only
        then wait: what happens while looking is not missed."""
        listener = asyncio.Event()
        self._listeners.setdefault(run_id, set()).add(listener)
        try:
            yield listener
        finally:
            self._listeners[run_id].discard(listener)
            if not self._listeners[run_id]:
                del self._listeners[run_id]


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
