"""The single writer of runs: every change of a run, its steps and its messages is made here,
row and event in one transaction.

``RunWriter`` makes the changes that callers ask for (create, cancel, submit, expire). ``Recorder``
makes those of the worker that holds the run's lease; each of its transactions first checks that
the lease is still held, so a worker that was taken for dead cannot write over its successor.
Text deltas are buffered and stored together a few dozen times a second; every other change stores
the deltas before it first, so the log is always in order. What callers were told is synced to disk;
progress need not be, since a run that is thrown back a little simply goes on from there. Knows
nothing of models or prompts.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from localassist import clock, ids
from localassist.core import GeneratedText, ToolCall, Usage
from localassist.errors import InvalidRequest
from localassist.runs import state
from localassist.runs.feed import EventFeed
from localassist.schemas import events as wire
from localassist.schemas.events import RunEvent
from localassist.schemas.runs import Run, RunUsage
from localassist.storage import items, messages, run_events, run_steps, runs
from localassist.storage.database import Database, Session
from localassist.storage.run_events import NewEvent
from localassist.storage.tables import MessageRow, RunRow, RunStepRow

T = TypeVar("T")

INTERRUPTED = {
    "code": "server_error",
    "message": "The process was interrupted; the step is made again.",
}


@dataclass(frozen=True, slots=True)
class OpenMessage:
    """A message that is being written, and what it says so far."""

    message_id: str
    step_id: str
    text: str = ""
    token_ids: tuple[int, ...] = ()


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

    async def cancel(self, project: str, thread_id: str, run_id: str) -> Run:
        """Ask for the end of a run; a worker brings it about. InvalidRequest when too late."""

        def change(session: Session) -> tuple[Run, str, list[RunEvent]]:
            row = runs.row(session, project, thread_id, run_id)
            if row.status == "cancelling" or row.status in state.TERMINAL:
                raise InvalidRequest(f"Cannot cancel run with status '{row.status}'.")
            return runs_event(session, row, "cancelling")

        return await self.commit(change)

    async def submit(
        self, project: str, thread_id: str, run_id: str, outputs: Sequence[tuple[str, str]]
    ) -> Submitted:
        """Store the outputs (call id, text) of all calls the run waits for and queue it again.

        Raises InvalidRequest in the wrong state or when the ids are not exactly those asked for.
        """

        def change(session: Session) -> tuple[Submitted, str, list[RunEvent]]:
            row = runs.row(session, project, thread_id, run_id)
            if row.status == "requires_action" and (row.expires_at or 0) <= clock.now():
                status = "expired"  # the sweep has not come by yet
            else:
                status = row.status
            if status != "requires_action":
                raise InvalidRequest(f'Runs in status "{status}" do not accept tool outputs.')
            _check_outputs(row, [call_id for call_id, _ in outputs])
            before = row.last_event_seq
            events = _store_outputs(session, row, dict(outputs))
            row.required_action = None
            run, _, queued = runs_event(session, row, "queued")
            return Submitted(run, before), row.id, [*events, *queued]

        return await self.commit(change)

    async def expire_waiting(self) -> list[str]:
        """End all runs that waited for tool outputs too long; returns their ids."""
        found = await self._database.read(
            lambda session: [
                (row.project_id, row.thread_id, row.id)
                for row in runs.expired(session, clock.now())
            ]
        )
        for project, thread_id, run_id in found:
            await self._expire(project, thread_id, run_id)
        return [run_id for _, _, run_id in found]

    async def _expire(self, project: str, thread_id: str, run_id: str) -> None:
        def change(session: Session) -> tuple[None, str, list[RunEvent]]:
            row = runs.row(session, project, thread_id, run_id)
            if row.status != "requires_action" or (row.expires_at or 0) > clock.now():
                return None, row.id, []  # answered in the meantime
            return None, row.id, end_run(session, row, "expired")

        await self.commit(change)


class Recorder:
    """Changes by the worker that holds the run's lease. One run, one worker, in order."""

    def __init__(self, writer: RunWriter, run_id: str, owner: str) -> None:
        self.run_id = run_id
        self._writer = writer
        self._owner = owner
        self._pending: list[NewEvent] = []
        self.on_pending: Callable[[Recorder], None] = lambda _: None

    # -- progress: buffered ---------------------------------------------------------------------

    def text(self, message_id: str, text: str, token_ids: Sequence[int], *, is_first: bool) -> None:
        """Add text to the open message."""
        part = wire.first_text(0, text) if is_first else wire.more_text(0, text)
        self._buffer(
            NewEvent(wire.MESSAGE_DELTA, wire.message_delta(message_id, part), tuple(token_ids))
        )

    def call_started(self, step_id: str, index: int, call_id: str, name: str) -> None:
        """Announce a function call in the open step."""
        part = wire.first_function(index, call_id, name)
        self._buffer(NewEvent(wire.STEP_DELTA, wire.step_delta(step_id, part)))

    def call_arguments(self, step_id: str, index: int, arguments: str) -> None:
        """Add a fragment of arguments to an announced call."""
        part = wire.more_arguments(index, arguments)
        self._buffer(NewEvent(wire.STEP_DELTA, wire.step_delta(step_id, part)))

    async def flush(self) -> None:
        """Store what is buffered. Raises LeaseLost."""
        if self._pending:
            await self._commit(lambda session, row: (None, []), durable=False)

    def _buffer(self, event: NewEvent) -> None:
        self._pending.append(event)
        self.on_pending(self)

    # -- state: one transaction each ------------------------------------------------------------

    async def start(self) -> Run:
        """queued → in_progress; a run that is in progress already (taken over) stays so."""

        def change(session: Session, row: RunRow) -> tuple[Run, list[RunEvent]]:
            if row.status != "queued":
                return runs.to_wire(row), []
            row.started_at = clock.now()
            run, _, events = runs_event(session, row, "in_progress")
            return run, events

        return await self._commit(change, durable=False)

    async def recover(self) -> OpenMessage | None:
        """What an interrupted worker left: its open message to go on with, or None.

        An open step of tool calls is ended as failed; the calls are made again in a new step.
        """

        def change(session: Session, row: RunRow) -> tuple[OpenMessage | None, list[RunEvent]]:
            events: list[RunEvent] = []
            for step in run_steps.open_steps(session, row.id):
                if step.type == "message_creation":
                    message_id = step.step_details["message_creation"]["message_id"]
                    text, token_ids = run_events.streamed_text(session, row.id, message_id)
                    return OpenMessage(message_id, step.id, text, token_ids), events
                step.last_error = INTERRUPTED
                events += _end_step(session, row, step, "failed")
            return None, events

        return await self._commit(change, durable=False)

    async def open_message(self, model_id: str) -> OpenMessage:
        """Begin a message_creation step and its message, written by ``model_id``."""

        def change(session: Session, row: RunRow) -> tuple[OpenMessage, list[RunEvent]]:
            message = MessageRow(
                id=ids.new_id("message"),
                project_id=row.project_id,
                thread_id=row.thread_id,
                created_at=clock.now(),
                role="assistant",
                status="in_progress",
                content=[],
                attachments=[],
                file_ids=[],
                assistant_id=row.assistant_id,
                run_id=row.id,
                metadata_={},
            )
            session.add(message)
            row.model_id = model_id
            details = {"type": "message_creation", "message_creation": {"message_id": message.id}}
            step = run_steps.insert(session, row, details)
            opened = messages.to_wire(message).dump()
            events = [
                *_step_opened(row, step),
                NewEvent(wire.MESSAGE_CREATED, opened),
                NewEvent(wire.MESSAGE_IN_PROGRESS, opened),
            ]
            return OpenMessage(message.id, step.id), run_events.append(session, row, events)

        return await self._commit(change, durable=False)

    async def close_message(
        self,
        opened: OpenMessage,
        generated: GeneratedText,
        usage: Usage,
        *,
        incomplete_reason: str | None = None,
    ) -> None:
        """End the open message with its whole text, and its step."""

        def change(session: Session, row: RunRow) -> tuple[None, list[RunEvent]]:
            step = run_steps.row(session, opened.step_id)
            step.usage = RunUsage.of(usage).dump()
            events = _close_message(session, row, opened.message_id, generated, incomplete_reason)
            return None, [*events, *_end_step(session, row, step, "completed")]

        await self._commit(change, durable=False)

    async def open_calls(self) -> str:
        """Begin a tool_calls step; returns its id."""

        def change(session: Session, row: RunRow) -> tuple[str, list[RunEvent]]:
            step = run_steps.insert(session, row, {"type": "tool_calls", "tool_calls": []})
            return step.id, run_events.append(session, row, _step_opened(row, step))

        return await self._commit(change, durable=False)

    async def require_action(
        self,
        step_id: str,
        calls: Sequence[ToolCall],
        generated: GeneratedText,
        usage: Usage,
        *,
        said_in: str | None,
        expires_at: int,
        evidence: dict[str, Any],
    ) -> None:
        """Wait for the caller to answer ``calls``; the step stays open and the lease ends.

        ``said_in`` is the message with which the same turn began. ``evidence`` becomes the step's
        metadata, each value as JSON text.
        """

        def change(session: Session, row: RunRow) -> tuple[None, list[RunEvent]]:
            step = run_steps.row(session, step_id)
            step.usage = RunUsage.of(usage).dump()
            step.metadata_ = {key: json.dumps(value)[:512] for key, value in evidence.items()}
            step.step_details = {
                "type": "tool_calls",
                "tool_calls": [_call_json(call, output=None) for call in calls],
            }
            items.append(
                session,
                row.thread_id,
                "calls",
                run_id=row.id,
                generated=generated,
                payload={"calls": [asdict(call) for call in calls], "said_in": said_in},
            )
            row.required_action = {
                "type": "submit_tool_outputs",
                "submit_tool_outputs": {"tool_calls": [_call_json(call) for call in calls]},
            }
            row.expires_at = expires_at
            row.lease_owner = row.lease_expires_at = None
            row.interruptions = 0
            return None, runs_event(session, row, "requires_action")[2]

        await self._commit(change)

    async def note_truncation(self, truncation: dict[str, Any]) -> None:
        """Record on the run what did not fit into the context."""

        def change(session: Session, row: RunRow) -> tuple[None, list[RunEvent]]:
            row.context_truncation = truncation
            return None, []

        await self._commit(change, durable=False)

    async def end(
        self,
        status: str,
        *,
        last_error: dict[str, str] | None = None,
        incomplete_reason: str | None = None,
    ) -> None:
        """End the run, closing whatever is open the way ``status`` demands."""

        def change(session: Session, row: RunRow) -> tuple[None, list[RunEvent]]:
            row.last_error = last_error
            row.incomplete_reason = incomplete_reason
            return None, end_run(session, row, status)

        await self._commit(change)

    async def _commit(
        self, change: Callable[[Session, RunRow], tuple[T, list[RunEvent]]], *, durable: bool = True
    ) -> T:
        pending, self._pending = self._pending, []

        def transaction(session: Session) -> tuple[T, str, list[RunEvent]]:
            row = runs.owned_row(session, self.run_id, self._owner)
            stored = run_events.append(session, row, pending)
            result, events = change(session, row)
            return result, row.id, [*stored, *events]

        commit = asyncio.ensure_future(self._writer.commit(transaction, durable=durable))
        try:
            return await asyncio.shield(commit)
        except asyncio.CancelledError:
            # A transaction on its way cannot be called back; know how it ended before going on.
            await asyncio.wait({commit})
            if commit.exception() is not None:
                self._pending[:0] = pending
            raise
        except Exception:
            # Not stored; whoever handles the failure stores it with the change it makes.
            self._pending[:0] = pending
            raise


def runs_event(session: Session, row: RunRow, status: str) -> tuple[Run, str, list[RunEvent]]:
    """Change the run's status, if the table allows it, and append the event that says so."""
    state.check(row.status, status)
    row.status = status
    run = runs.to_wire(row)
    events = run_events.append(session, row, [NewEvent(f"thread.run.{status}", run.dump())])
    session.flush()
    return run, row.id, events


def end_run(session: Session, row: RunRow, status: str) -> list[RunEvent]:
    """Close the open message and step, sum up the usage, and end the run with ``status``."""
    events: list[RunEvent] = []
    for step in run_steps.open_steps(session, row.id):
        if step.type == "message_creation":
            message_id = step.step_details["message_creation"]["message_id"]
            text, token_ids = run_events.streamed_text(session, row.id, message_id)
            said = GeneratedText(text, token_ids, row.model_id or "")
            reason = state.MESSAGE_INCOMPLETE_REASON[status]
            events += _close_message(session, row, message_id, said, reason)
        if status == "failed":
            # Steps know fewer error codes than runs.
            step.last_error = {**(row.last_error or INTERRUPTED), "code": "server_error"}
        events += _end_step(session, row, step, state.STEP_END[status])
    at = clock.now()
    if status in ("completed", "failed", "cancelled"):
        setattr(row, f"{status}_at", at)
    row.ended_at = at
    row.required_action = None
    row.expires_at = row.expires_at if status == "expired" else None
    row.lease_owner = row.lease_expires_at = None
    row.usage = _sum_usage(run_steps.of_run(session, row.id))
    return [*events, *runs_event(session, row, status)[2]]


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


def _close_message(
    session: Session, row: RunRow, message_id: str, said: GeneratedText, reason: str | None
) -> list[RunEvent]:
    """End a message; empty when the client has deleted it in the meantime."""
    message = messages.find(session, message_id)
    if message is None:
        return []
    if said.text:
        message.content = [{"type": "text", "text": {"value": said.text, "annotations": []}}]
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


def _step_opened(row: RunRow, step: RunStepRow) -> list[NewEvent]:
    opened = run_steps.to_wire(step, row.expires_at).dump()
    return [NewEvent(wire.STEP_CREATED, opened), NewEvent(wire.STEP_IN_PROGRESS, opened)]


def _end_step(session: Session, row: RunRow, step: RunStepRow, status: str) -> list[RunEvent]:
    step.status = status
    setattr(step, f"{status}_at", clock.now())
    data = run_steps.to_wire(step, row.expires_at).dump()
    return run_events.append(session, row, [NewEvent(f"thread.run.step.{status}", data)])


def _check_outputs(row: RunRow, given: list[str]) -> None:
    assert row.required_action is not None
    wanted = [c["id"] for c in row.required_action["submit_tool_outputs"]["tool_calls"]]
    if sorted(given) != sorted(wanted):
        raise InvalidRequest(f"Expected tool outputs for call_ids {wanted}, got {given}")


def _store_outputs(session: Session, row: RunRow, outputs: dict[str, str]) -> list[RunEvent]:
    events: list[RunEvent] = []
    for step in run_steps.open_steps(session, row.id):
        answered = []
        for call in step.step_details["tool_calls"]:
            function = {**call["function"], "output": outputs[call["id"]]}
            answered.append({**call, "function": function})
            items.append(
                session,
                row.thread_id,
                "output",
                run_id=row.id,
                payload={
                    "call_id": call["id"],
                    "name": function["name"],
                    "output": function["output"],
                },
            )
        step.step_details = {"type": "tool_calls", "tool_calls": answered}
        events += _end_step(session, row, step, "completed")
    return events


def _call_json(call: ToolCall, **more: Any) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments, **more}
    return {"id": call.id, "type": "function", "function": function}
