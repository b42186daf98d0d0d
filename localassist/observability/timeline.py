"""What a run did when: its phases, in milliseconds since it was stored, kept with the run.

A record is plain JSON, so that it survives restarts: when the run was stored (``at``, seconds since
the epoch), its phases, and who asked for it (``traceparent``) where traces are wanted. Waiting is
noted where a run's status changes, the rest by whoever does it; see ``spans``. Tools of ours go by
their wire names.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from localassist import clock

QUEUED = "queued"
MODEL = "model"
EMBEDDING = "embedding"
SCORING = "scoring"
PREFILL = "prefill"
DECODE = "decode"
FILES = "files"
FUNCTIONS = "functions"
INTERRUPTED = "interrupted"

MOST_PHASES = 200
"""So many of one run are kept; a run that goes on for longer only counts the others."""

Record: TypeAlias = Mapping[str, Any]

_WAITS = {"queued": QUEUED, "requires_action": FUNCTIONS}
_ENDS = frozenset("in_progress completed incomplete failed cancelled expired".split())
_JOIN_MS = 2.0


@dataclass(slots=True, eq=False)
class Phase:
    """A stretch of a run's time; ``ms`` None while it lasts. ``details`` are counts of tokens and
    names of calls."""

    name: str
    start_ms: float
    ms: float | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def end_ms(self) -> float:
        """Of one that lasts, the part that is known: none."""
        return self.start_ms + (self.ms or 0.0)

    def dump(self) -> dict[str, Any]:
        ms = None if self.ms is None else round(self.ms, 2)
        return {"name": self.name, "start_ms": round(self.start_ms, 2), "ms": ms, **self.details}


class Timeline:
    """The record of one run, open for more. Its clock goes on from what the record says and never
    goes back, whatever the machine's clock does."""

    def __init__(self, record: Record | None = None) -> None:
        """Without a record, of a run that is stored now."""
        now = time.time()
        record = record or {"at": now, "phases": []}
        self.at = float(record["at"])
        self.traceparent: str | None = record.get("traceparent")
        self.first_text_ms: float | None = record.get("first_text_ms")
        self.left_out = int(record.get("left_out", 0))
        self.phases = [_loaded(entry) for entry in record["phases"]]
        self.version = 0
        """Grows with every change."""
        known_ms = max((phase.end_ms for phase in self.phases), default=0.0)
        self._begun_ms = max((now - self.at) * 1000, known_ms)
        self._begun = clock.monotonic()

    @property
    def now_ms(self) -> float:
        return self._begun_ms + (clock.monotonic() - self._begun) * 1000

    def begin(self, name: str, **details: Any) -> Phase:
        """A phase that begins now."""
        phase = Phase(name, self.now_ms, details=details)
        if len(self.phases) < MOST_PHASES:
            self.phases.append(phase)
        else:
            self.left_out += 1
        self.version += 1
        return phase

    def end(self, phase: Phase) -> None:
        """The phase is over, if it was not already."""
        if phase.ms is None:
            phase.ms = max(0.0, self.now_ms - phase.start_ms)
            self.version += 1

    def note(self, phase: Phase, **details: Any) -> None:
        """Say more of a phase, also of one that is over."""
        phase.details.update(details)
        self.version += 1

    def note_first_text(self) -> float | None:
        """Readers see the first text now; the time since the run was stored, None when there was
        text before."""
        if self.first_text_ms is not None:
            return None
        self.first_text_ms = round(self.now_ms, 2)
        self.version += 1
        return self.first_text_ms

    def move(self, status: str, **details: Any) -> None:
        """The run's status has changed: waiting ends, all ends, or waiting begins."""
        if status in _ENDS or status in _WAITS:
            for phase in self.phases:
                self.end(phase)
        if status in _WAITS:
            # Kept whatever their number: who reads the record sees by them why nothing happens.
            self.phases.append(Phase(_WAITS[status], self.now_ms, details=details))
            self.version += 1

    def take_over(self) -> None:
        """Another worker goes on. Nobody knows when the last one ended: what it was doing counts up
        to what it has noted last, and from there it was interrupted."""
        known_ms = max((max(p.start_ms, p.end_ms) for p in self.phases), default=0.0)
        for phase in self.phases:
            if phase.ms is None:
                phase.ms = known_ms - phase.start_ms
        self.phases.append(Phase(INTERRUPTED, known_ms, self.now_ms - known_ms))
        self.version += 1

    def waits(self) -> list[Phase]:
        """The stretches between the work of the last worker and now: what the run waited for."""
        found: list[Phase] = []
        for phase in reversed(self.phases):
            if phase.name not in (QUEUED, FUNCTIONS, INTERRUPTED):
                break
            found.insert(0, phase)
        return found

    def dump(self) -> dict[str, Any]:
        """The record."""
        extra = {"traceparent": self.traceparent, "first_text_ms": self.first_text_ms}
        given = {key: value for key, value in extra.items() if value is not None}
        left_out = {"left_out": self.left_out} if self.left_out else {}
        phases = [phase.dump() for phase in _joined(self.phases)]
        return {"at": self.at, **given, **left_out, "phases": phases}


def begun(traceparent: str | None = None) -> dict[str, Any]:
    """The record of a run that is stored and queued now."""
    timeline = Timeline()
    timeline.traceparent = traceparent
    timeline.move("queued")
    return timeline.dump()


def moved(record: Record | None, status: str, **details: Any) -> dict[str, Any] | None:
    """The record after a change of status; runs of earlier releases have none."""
    if record is None:
        return None
    timeline = Timeline(record)
    timeline.move(status, **details)
    return timeline.dump()


def taken_over(record: Record | None) -> dict[str, Any] | None:
    """The record after another worker has taken up the run."""
    if record is None:
        return None
    timeline = Timeline(record)
    timeline.take_over()
    return timeline.dump()


def _loaded(entry: Mapping[str, Any]) -> Phase:
    details = {key: value for key, value in entry.items() if key not in ("name", "start_ms", "ms")}
    return Phase(entry["name"], entry["start_ms"], entry["ms"], details)


def _joined(phases: list[Phase]) -> list[Phase]:
    """A decision scores many texts, one right after the other or at the same time: one phase."""
    joined: list[Phase] = []
    for phase in phases:
        last = joined[-1] if joined else None
        is_more = last is not None and last.name == phase.name == SCORING
        if not is_more or last is None or last.ms is None or phase.ms is None:
            joined.append(phase)
        elif phase.start_ms - last.end_ms > _JOIN_MS:
            joined.append(phase)
        else:
            tokens = last.details.get("tokens", 0) + phase.details.get("tokens", 0)
            ms = max(last.end_ms, phase.end_ms) - last.start_ms
            joined[-1] = Phase(SCORING, last.start_ms, ms, {**last.details, "tokens": tokens})
    return joined
