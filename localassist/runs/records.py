"""Runs as an operator looks at them: what became of each, what it is doing, and when it did what.

Reads the data folder only, so it may look on while servers work in it. Whoever may read the folder
sees the runs of all projects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from localassist.observability.timeline import (
    DECODE,
    EMBEDDING,
    FILES,
    INTERRUPTED,
    MODEL,
    PREFILL,
    SCORING,
    Record,
)
from localassist.runs import state
from localassist.storage import run_steps, runs
from localassist.storage.database import Database, Session
from localassist.storage.tables import RunRow, RunStepRow

_DOING = {
    MODEL: "waiting for its model",
    EMBEDDING: "comparing its question with its tools",
    SCORING: "deciding what to do",
    PREFILL: "reading its prompt, or waiting for its turn to",
    DECODE: "writing",
    FILES: "waiting for files to be read",
    "file_search": "searching files",
    "code_interpreter": "running code",
    INTERRUPTED: "waiting for a worker",
}


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run. ``model`` is the one that answers, else the name that was asked for; ``doing`` is None
    when it has ended. ``steps`` and ``timeline`` are None where they were not asked for; runs of
    earlier releases have no timeline. Times are seconds since the epoch, UTC."""

    id: str
    thread_id: str
    status: str
    model: str
    created_at: int
    started_at: int | None
    ended_at: int | None
    usage: dict[str, Any] | None
    last_error: dict[str, Any] | None
    doing: str | None = None
    steps: Sequence[dict[str, Any]] | None = None
    timeline: Record | None = None


class RunRecords:
    """The runs of a data folder."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, thread_id: str | None, limit: int) -> list[RunRecord]:
        """The newest runs, of one thread if it is given, newest first."""
        return await self._database.read(
            lambda session: [_record(row) for row in runs.newest(session, thread_id, limit)]
        )

    async def show(self, run_id: str) -> RunRecord:
        """Everything about one run. Raises ResourceNotFound."""

        def load(session: Session) -> RunRecord:
            row = runs.any_row(session, run_id)
            steps = run_steps.of_run(session, row.id)
            shown = [_step(step) for step in steps]
            return _record(row, doing=_doing(row, steps), steps=shown, timeline=row.timeline)

        return await self._database.read(load)


def _record(row: RunRow, **more: Any) -> RunRecord:
    return RunRecord(
        id=row.id,
        thread_id=row.thread_id,
        status=row.status,
        model=row.model_id or row.request["model"],
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        usage=row.usage,
        last_error=row.last_error,
        **more,
    )


def _step(step: RunStepRow) -> dict[str, Any]:
    calls = step.step_details.get("tool_calls", [])
    return {
        "id": step.id,
        "type": step.type,
        "status": step.status,
        "calls": [_name(call) for call in calls],
        "usage": step.usage,
    }


def _name(call: dict[str, Any]) -> str:
    """A function's own name, or the kind of one of our tools."""
    return str(call["function"]["name"] if call["type"] == "function" else call["type"])


def _doing(row: RunRow, steps: Sequence[RunStepRow]) -> str | None:
    """In words, as far as the worker has noted it; that is at most a moment old."""
    if row.status in state.TERMINAL:
        return None
    if row.status == "cancelling":
        return "being cancelled"
    if row.status == "requires_action":
        names = [_name(call) for s in steps for call in _open_calls(s)]
        return f"waiting for its caller to answer {', '.join(names)}"
    if row.status == "queued" or row.lease_owner is None:
        return "waiting for a worker"
    phases = [] if row.timeline is None else row.timeline["phases"]
    for phase in reversed(phases):
        if phase["ms"] is None:
            name = str(phase["name"])
            return _DOING.get(name, name)
    return "between two steps"


def _open_calls(step: RunStepRow) -> list[dict[str, Any]]:
    if step.status != "in_progress":
        return []
    calls = step.step_details.get("tool_calls", [])
    return [call for call in calls if call["type"] == "function"]
