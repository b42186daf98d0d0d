"""Changes of a run inside a transaction: rows and the events that tell of them, together.

``writer`` and ``recorder`` make their transactions of these. Each function that appends events
returns them, numbered, for publishing after the commit. Knows nothing of leases or of callers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from localassist import clock
from localassist.core import GeneratedText, Usage
from localassist.observability.timeline import moved
from localassist.runs import calls, state
from localassist.schemas import events as wire
from localassist.schemas.events import RunEvent
from localassist.schemas.runs import RunUsage
from localassist.storage import items, messages, run_events, run_steps, runs
from localassist.storage.database import Session
from localassist.storage.run_events import NewEvent
from localassist.storage.tables import RunRow, RunStepRow

INTERRUPTED = {
    "code": "server_error",
    "message": "The process was interrupted; the step is made again.",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """What readers see of a message: files of images, and below them a text, if there is any."""

    text: str
    annotations: tuple[Mapping[str, Any], ...] = ()
    images: tuple[str, ...] = ()

    def content(self) -> list[dict[str, Any]]:
        """Its parts, in wire form."""
        parts = [image_part(file_id) for file_id in self.images]
        if self.text:
            text = {"value": self.text, "annotations": list(self.annotations)}
            parts.append({"type": "text", "text": text})
        return parts


def image_part(file_id: str) -> dict[str, Any]:
    """A part of a message's content that shows an image."""
    return {"type": "image_file", "image_file": {"file_id": file_id}}


def change_status(
    session: Session, row: RunRow, status: str, *, waits_for: Sequence[str] = ()
) -> list[RunEvent]:
    """Change the run's status, if the table allows it, and append the event that says so.
    ``waits_for`` are the names of functions the caller is to call."""
    state.check(row.status, status)
    row.status = status
    details = {"calls": list(waits_for)} if waits_for else {}
    row.timeline = moved(row.timeline, status, **details)
    data = runs.to_wire(row).dump()
    events = run_events.append(session, row, [NewEvent(wire.run_event_name(status), data)])
    session.flush()
    return events


def start_run(session: Session, row: RunRow) -> list[RunEvent]:
    """queued → in_progress."""
    row.started_at = clock.now()
    return change_status(session, row, "in_progress")


def end_run(session: Session, row: RunRow, status: str) -> list[RunEvent]:
    """Close the open message and step, sum up the usage, and end the run with ``status``."""
    events: list[RunEvent] = []
    session.flush()  # steps that this transaction has ended are not open
    for step in run_steps.open_steps(session, row.id):
        if step.type == "tool_calls":
            calls.keep_calls(session, row, step)
        else:
            message_id = step.step_details["message_creation"]["message_id"]
            streamed = run_events.streamed_text(session, row.id, message_id)
            said = GeneratedText(streamed.text, streamed.token_ids, row.model_id or "")
            shown = Shown(streamed.text, streamed.annotations, streamed.images)
            reason = state.MESSAGE_INCOMPLETE_REASON.get(status)
            events += close_message(session, row, message_id, said, reason, shown)
        if status == "failed":
            # Steps know fewer error codes than runs.
            step.last_error = {**(row.last_error or INTERRUPTED), "code": "server_error"}
        events += end_step(session, row, step, state.STEP_END[status])
    at = clock.now()
    if status in ("completed", "failed", "cancelled"):
        setattr(row, f"{status}_at", at)
    row.ended_at = at
    row.required_action = None
    row.expires_at = row.expires_at if status == "expired" else None
    row.lease_owner = row.lease_expires_at = None
    row.usage = _sum_usage(run_steps.of_run(session, row.id))
    return [*events, *change_status(session, row, status)]


def _sum_usage(steps: Sequence[RunStepRow]) -> dict[str, Any]:
    total = Usage()
    for step in steps:
        if step.usage is not None:
            total += Usage(
                step.usage["prompt_tokens"],
                step.usage["completion_tokens"],
                step.usage["prompt_token_details"]["cached_tokens"],
            )
    return RunUsage.of(total).dump()


def close_message(
    session: Session,
    row: RunRow,
    message_id: str,
    said: GeneratedText,
    reason: str | None,
    shown: Shown,
) -> list[RunEvent]:
    """End a message in which the model has said ``said``; no events when the client has deleted it
    in the meantime."""
    message = messages.find(session, message_id)
    if message is None:
        return []
    message.content = shown.content()
    if shown.text:
        items.append(
            session, row.thread_id, "message", run_id=row.id, message_id=message_id, generated=said
        )
    message.status = "completed" if reason is None else "incomplete"
    message.incomplete_reason = reason
    if reason is None:
        message.completed_at = clock.now()
    else:
        message.incomplete_at = clock.now()
    name = wire.MESSAGE_COMPLETED if reason is None else wire.MESSAGE_INCOMPLETE
    return run_events.append(session, row, [NewEvent(name, messages.to_wire(message).dump())])


def step_opened(row: RunRow, step: RunStepRow) -> list[NewEvent]:
    opened = run_steps.to_wire(step, row.expires_at).dump()
    return [NewEvent(wire.STEP_CREATED, opened), NewEvent(wire.STEP_IN_PROGRESS, opened)]


def end_step(session: Session, row: RunRow, step: RunStepRow, status: str) -> list[RunEvent]:
    step.status = status
    setattr(step, f"{status}_at", clock.now())
    data = run_steps.to_wire(step, row.expires_at).dump()
    return run_events.append(session, row, [NewEvent(wire.step_event_name(status), data)])


def answer_calls(session: Session, row: RunRow, outputs: Mapping[str, str]) -> list[RunEvent]:
    """Store the caller's outputs, by call id, and end the step that waited for them."""
    events: list[RunEvent] = []
    for step in run_steps.open_steps(session, row.id):
        if step.type == "tool_calls":
            calls.store_outputs(session, row, step, outputs)
            events += end_step(session, row, step, "completed")
    return events
