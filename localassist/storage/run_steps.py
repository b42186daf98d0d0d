"""Run steps: rows in, wire objects out. Only ``runs.recorder`` opens and closes them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from localassist import ids
from localassist.errors import ResourceNotFound
from localassist.schemas.base import ListQuery, Page
from localassist.schemas.run_steps import RunStep
from localassist.storage import run_events
from localassist.storage.database import Session
from localassist.storage.pagination import next_created_at, page
from localassist.storage.tables import RunRow, RunStepRow

NO_CALLS: dict[str, Any] = {"type": "tool_calls", "tool_calls": []}
"""Details of a step of tool calls that has just been opened."""

MISSING = "No run step found with id '{id}'."


def insert(session: Session, run: RunRow, details: dict[str, Any]) -> RunStepRow:
    """Open a step; its type is that of its details."""
    step = RunStepRow(
        id=ids.new_id("step"),
        project_id=run.project_id,
        thread_id=run.thread_id,
        run_id=run.id,
        assistant_id=run.assistant_id,
        created_at=next_created_at(session, RunStepRow, RunStepRow.run_id == run.id),
        type=details["type"],
        status="in_progress",
        step_details=details,
        metadata_={},
    )
    session.add(step)
    session.flush()
    return step


def open_steps(session: Session, run_id: str) -> list[RunStepRow]:
    """Steps of the run that have not ended; there is at most one."""
    return list(
        session.scalars(
            select(RunStepRow).where(
                RunStepRow.run_id == run_id, RunStepRow.status == "in_progress"
            )
        )
    )


def of_run(session: Session, run_id: str) -> list[RunStepRow]:
    """All steps of the run, oldest first."""
    return list(
        session.scalars(
            select(RunStepRow).where(RunStepRow.run_id == run_id).order_by(RunStepRow.seq)
        )
    )


def row(session: Session, step_id: str) -> RunStepRow:
    """A step that is known to exist."""
    return session.scalars(select(RunStepRow).where(RunStepRow.id == step_id)).one()


def get(session: Session, run: RunRow, step_id: str) -> RunStep:
    """Raises ResourceNotFound, also for a step of another run."""
    found = session.scalar(
        select(RunStepRow).where(RunStepRow.id == step_id, RunStepRow.run_id == run.id)
    )
    if found is None:
        raise ResourceNotFound(MISSING.format(id=step_id))
    return _so_far(session, found, run.expires_at)


def list_page(session: Session, run: RunRow, query: ListQuery) -> Page[RunStep]:
    return page(
        session,
        RunStepRow,
        run.project_id,
        [RunStepRow.run_id == run.id],
        query,
        lambda found: _so_far(session, found, run.expires_at),
        parent_id=run.id,
        missing=MISSING,
    )


def _so_far(session: Session, step: RunStepRow, expires_at: int | None) -> RunStep:
    """A step with the calls that readers of its stream have seen."""
    shown = to_wire(step, expires_at)
    if step.status == "in_progress" and step.step_details == NO_CALLS:
        calls = run_events.streamed_calls(session, step.run_id, step.id)
        details = {**NO_CALLS, "tool_calls": calls}
        return RunStep.model_validate({**shown.dump(), "step_details": details})
    return shown


def to_wire(step: RunStepRow, expires_at: int | None) -> RunStep:
    """``expires_at`` is the run's; an open step shows it, as in production, an ended one null."""
    return RunStep.model_validate(
        {
            "id": step.id,
            "created_at": step.created_at,
            "run_id": step.run_id,
            "assistant_id": step.assistant_id,
            "thread_id": step.thread_id,
            "type": step.type,
            "status": step.status,
            "step_details": step.step_details,
            "last_error": step.last_error,
            "completed_at": step.completed_at,
            "failed_at": step.failed_at,
            "cancelled_at": step.cancelled_at,
            "expired_at": step.expired_at,
            "expires_at": expires_at if step.status == "in_progress" else None,
            "metadata": step.metadata_,
            "usage": step.usage,
        }
    )
