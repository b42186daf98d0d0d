"""Live events of the runs this process works on, for the streams that read them here.

The event log in the database is the truth; this only spares readers in the same process from
asking it. A reader pulls from its own position, so a slow one holds up nobody and owns no queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from localassist.schemas.events import CLOSING_EVENTS, RunEvent


class Signal:
    """Tells one waiting task that something has happened; stays set until it is cleared.

    ``asyncio.Event`` has no time limit, and ``asyncio.wait_for`` around it costs a task per wait
    and, before Python 3.12, loses a cancellation that arrives together with the event.
    """

    def __init__(self) -> None:
        self._is_set = False
        self._waiting: asyncio.Future[None] | None = None

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True
        if self._waiting is not None:
            _end(self._waiting)

    def clear(self) -> None:
        self._is_set = False

    async def wait(self, seconds: float) -> bool:
        """Until it is set or the time is up; whether it is set."""
        if self._is_set:
            return True
        assert self._waiting is None, "a signal has one reader"
        loop = asyncio.get_running_loop()
        self._waiting = waiting = loop.create_future()
        timer = loop.call_later(seconds, _end, waiting)
        try:
            await waiting
        finally:
            timer.cancel()
            self._waiting = None
        return self._is_set


def _end(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


@dataclass(slots=True)
class _Recent:
    """Consecutive events; the first has, or will have, the number ``first_seq``. ``place`` is the
    run's project and thread. Once ``is_over``, others may write the run."""

    place: tuple[str, str]
    first_seq: int
    events: list[RunEvent]
    is_over: bool = False


class EventFeed:
    """Recent events per run, and a way to hear of more. Used on the runtime's event loop only."""

    def __init__(self) -> None:
        self._recent: dict[str, _Recent] = {}
        self._listeners: dict[str, set[Signal]] = {}

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

    def keep(self, project: str, thread_id: str, run_id: str, next_seq: int) -> None:
        """Hold the run's events in memory from ``next_seq`` on."""
        self._recent[run_id] = _Recent((project, thread_id), next_seq, [])

    def forget(self, run_id: str) -> None:
        """Let go of the run's events; readers that are behind ask the log. After the closing event
        those who are listening may still take the rest from here."""
        recent = self._recent.get(run_id)
        if recent is None:
            return
        if run_id in self._listeners and _has_closed(recent):
            recent.is_over = True
        else:
            del self._recent[run_id]

    def after(self, project: str, thread_id: str, run_id: str, seq: int) -> list[RunEvent] | None:
        """Events behind ``seq``; None when memory cannot tell and the log must be asked, also for a
        run of another project or thread."""
        recent = self._recent.get(run_id)
        if recent is None or seq + 1 < recent.first_seq or recent.place != (project, thread_id):
            return None
        events = recent.events[seq + 1 - recent.first_seq :]
        return None if recent.is_over and not events else events

    def wake(self) -> None:
        """Have all readers look again."""
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.set()

    @contextmanager
    def listening(self, run_id: str) -> Iterator[Signal]:
        """A reader's own signal, set whenever the run has new events here. Clear it, look, and only
        then wait: what happens while looking is not missed."""
        listener = Signal()
        self._listeners.setdefault(run_id, set()).add(listener)
        try:
            yield listener
        finally:
            self._listeners[run_id].discard(listener)
            if not self._listeners[run_id]:
                del self._listeners[run_id]
                recent = self._recent.get(run_id)
                if recent is not None and recent.is_over:
                    del self._recent[run_id]


def _has_closed(recent: _Recent) -> bool:
    return bool(recent.events) and recent.events[-1].name in CLOSING_EVENTS
