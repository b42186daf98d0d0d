"""What the worker of a run writes: its messages, steps, tool calls and end.

Each transaction first checks that the lease is still held, so a worker that was taken for dead
cannot write over its successor. Text deltas are buffered and stored together a few dozen times a
second; every other change stores the deltas before it first, so the log is always in order. What
callers were told is synced to disk; progress need not be, since a run that is thrown back a little
simply goes on from there. Knows nothing of models or prompts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from localassist import ids
from localassist.core import GeneratedText, Usage
from localassist.observability.timeline import Timeline
from localassist.runs import calls, changes
from localassist.runs.calls import Round
from localassist.runs.changes import Shown
from localassist.runs.counters import RunCounters
from localassist.runs.writer import RunWriter, settled
from localassist.schemas import events as wire
from localassist.schemas.events import RunEvent
from localassist.schemas.runs import RunUsage
from localassist.storage import messages, run_events, run_steps, runs
from localassist.storage.database import Session
from localassist.storage.pagination import next_created_at
from localassist.storage.run_events import NewEvent
from localassist.storage.tables import MessageRow, RunRow
from localassist.tools.metadata import as_metadata

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OpenMessage:
    """A message that is being written, and what it shows so far: images, and below them a text."""

    message_id: str
    step_id: str
    text: str = ""
    token_ids: tuple[int, ...] = ()
    annotations: tuple[Mapping[str, Any], ...] = ()
    images: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """A fragment of a message's text, the tokens behind it, and the annotations whose markers it
    holds, in wire form; ``first`` is the number of the first of them within the message."""

    text: str
    token_ids: tuple[int, ...] = ()
    annotations: tuple[Mapping[str, Any], ...] = ()
    first: int = 0


class Recorder:
    """Changes by the worker that holds the run's lease. One run, one worker, in order."""

    def __init__(
        self,
        writer: RunWriter,
        run_id: str,
        owner: str,
        timeline: Timeline | None = None,
        counters: RunCounters | None = None,
    ) -> None:
        self.run_id = run_id
        self.timeline = timeline or Timeline()
        self._counters = counters or RunCounters()
        self._stored_version = self.timeline.version
        self._writer = writer
        self._owner = owner
        self._pending: list[NewEvent] = []
        # One transaction at a time: were two under way and the first failed, what it carried would
        # be stored behind the second.
        self.turn = asyncio.Lock()
        self.on_pending: Callable[[Recorder], None] = lambda _: None
        self.open_usage: Usage | None = None
        """What an open step of calls has used, while they are being made: should the run end
        meanwhile, the step has used it all the same."""

    # -- progress: buffered ---------------------------------------------------------------------

    def text(self, opened: OpenMessage, piece: Piece, *, is_first: bool) -> None:
        """Add text to the open message, below its images."""
        if is_first:
            self._note_first_text()
        index = len(opened.images)
        part = _first_text(index, piece) if is_first else _more_text(index, piece)
        self._buffer(_message_delta(opened.message_id, part, token_ids=piece.token_ids))

    def call(self, step_id: str, part: wire.Payload) -> None:
        """Add a fragment, one of those that ``schemas.events`` makes, to the calls of the open
        step. Code can print character by character: what it adds to the same logs before they are
        stored is one event."""
        last = self._pending[-1] if self._pending else None
        if last is not None and last.name == wire.STEP_DELTA:
            joined = wire.with_logs_of(last.data, step_id, part)
            if joined is not None:
                self._pending[-1] = NewEvent(wire.STEP_DELTA, joined)
                return
        self._buffer(NewEvent(wire.STEP_DELTA, wire.step_delta(step_id, part)))

    async def flush(self) -> None:
        """Store what is buffered, and what the run was doing. Raises LeaseLost."""
        async with self.turn:
            if self._pending or self.news() is not None:
                await self._store(lambda session, row: (None, []), durable=False)

    def news(self) -> dict[str, Any] | None:
        """What the run did when, if that has not been stored yet."""
        if self.timeline.version == self._stored_version:
            return None
        return self.timeline.dump()

    def take_pending(self) -> list[NewEvent]:
        """What is buffered, for storing it elsewhere. Whoever takes it holds ``turn`` until it is
        stored or put back."""
        pending, self._pending = self._pending, []
        return pending

    def put_back(self, pending: list[NewEvent]) -> None:
        """What was taken could not be stored; whoever handles the failure stores it with the change
        it makes."""
        self._pending[:0] = pending

    def _buffer(self, event: NewEvent) -> None:
        self._pending.append(event)
        self.on_pending(self)

    # -- state: one transaction each ------------------------------------------------------------

    async def recover(self) -> OpenMessage | None:
        """What an interrupted worker left: its open message to go on with, or None.

        An open step of tool calls is ended as failed; the calls are made again in a new step.
        """

        def change(session: Session, row: RunRow) -> tuple[OpenMessage | None, list[RunEvent]]:
            events: list[RunEvent] = []
            for step in run_steps.open_steps(session, row.id):
                if step.type == "message_creation":
                    message_id = step.step_details["message_creation"]["message_id"]
                    said = run_events.streamed_text(session, row.id, message_id)
                    shown = said.text, said.token_ids, said.annotations, said.images
                    return OpenMessage(message_id, step.id, *shown), events
                calls.keep_calls(session, row, step)
                step.last_error = changes.INTERRUPTED
                events += changes.end_step(session, row, step, "failed")
            return None, events

        return await self._commit(change, durable=False)

    async def open_message(
        self, model_id: str, begun: Sequence[Piece] = (), images: Sequence[str] = ()
    ) -> OpenMessage:
        """Begin a message_creation step and its message, written by ``model_id``, with its images
        and its first text when there are any: what a reader waits for takes no second
        transaction."""

        def change(session: Session, row: RunRow) -> tuple[OpenMessage, list[RunEvent]]:
            thread = MessageRow.thread_id == row.thread_id
            message = MessageRow(
                id=ids.new_id("message"),
                project_id=row.project_id,
                thread_id=row.thread_id,
                created_at=next_created_at(session, MessageRow, thread),
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
                *changes.step_opened(row, step),
                NewEvent(wire.MESSAGE_CREATED, opened),
                NewEvent(wire.MESSAGE_IN_PROGRESS, opened),
            ]
            events += _first_deltas(message.id, begun, images)
            made = OpenMessage(message.id, step.id, images=tuple(images))
            return made, run_events.append(session, row, events)

        if begun:
            self._note_first_text()
        return await self._commit(change, durable=False)

    async def close_message(
        self,
        opened: OpenMessage,
        said: GeneratedText,
        usage: Usage,
        shown: Shown,
    ) -> None:
        """End the open message, in which the model has said ``said``, and its step; the run goes
        on."""

        def change(session: Session, row: RunRow) -> tuple[None, list[RunEvent]]:
            return None, _close(session, row, opened, said, usage, shown, None)

        await self._commit(change, durable=False)

    async def complete(
        self,
        opened: OpenMessage,
        said: GeneratedText,
        usage: Usage,
        shown: Shown,
        *,
        evidence: Mapping[str, Any],
        is_cut_off: bool = False,
    ) -> None:
        """End the open message, its step and the run. ``evidence``, as in ``Round``, says
        why the model answered so. ``is_cut_off``: the completion budget is spent, which leaves
        message and run incomplete."""

        def change(session: Session, row: RunRow) -> tuple[None, list[RunEvent]]:
            row.incomplete_reason = "max_completion_tokens" if is_cut_off else None
            why = "max_tokens" if is_cut_off else None
            events = _close(session, row, opened, said, usage, shown, why, evidence)
            return None, [*events, *changes.end_run(session, row, status)]

        status = "incomplete" if is_cut_off else "completed"
        await self._commit(change)
        self._count_end(status)

    async def open_calls(self, part: wire.Payload | None = None) -> str:
        """Begin a tool_calls step, with the first fragment of a call if one is given; returns the
        step's id."""

        def change(session: Session, row: RunRow) -> tuple[str, list[RunEvent]]:
            step = run_steps.insert(session, row, run_steps.NO_CALLS)
            events = changes.step_opened(row, step)
            if part is not None:
                events.append(NewEvent(wire.STEP_DELTA, wire.step_delta(step.id, part)))
            return step.id, run_events.append(session, row, events)

        return await self._commit(change, durable=False)

    async def require_action(self, step_id: str, made: Round, *, expires_at: int) -> None:
        """Wait for the caller to answer the round's functions; the step stays open and the lease
        ends. A run that another process was asked to cancel ends instead."""

        def change(session: Session, row: RunRow) -> tuple[None, list[RunEvent]]:
            calls.store_round(session, row, run_steps.row(session, step_id), made)
            if row.status == "cancelling":
                return None, changes.end_run(session, row, "cancelled")
            row.required_action = calls.required_action(made)
            row.expires_at = expires_at
            row.lease_owner = row.lease_expires_at = None
            row.interruptions = 0
            asked = [call.name for call in made.functions]
            return None, changes.change_status(session, row, "requires_action", waits_for=asked)

        await self._commit(change)
        self._count_calls(made)

    async def complete_calls(self, step_id: str, made: Round) -> None:
        """End the step of a round that needs nothing from the caller; the run goes on."""

        def change(session: Session, row: RunRow) -> tuple[None, list[RunEvent]]:
            step = run_steps.row(session, step_id)
            calls.store_round(session, row, step, made)
            return None, changes.end_step(session, row, step, "completed")

        await self._commit(change, durable=False)
        self._count_calls(made)
        self.open_usage = None

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
        usage: Usage | None = None,
    ) -> None:
        """End the run, closing whatever is open the way ``status`` demands. ``usage`` is that of
        the open step, when it is known."""
        used = usage or self.open_usage

        def change(session: Session, row: RunRow) -> tuple[None, list[RunEvent]]:
            row.last_error = last_error
            row.incomplete_reason = incomplete_reason
            if used is not None:
                for step in run_steps.open_steps(session, row.id):
                    step.usage = RunUsage.of(used).dump()
            return None, changes.end_run(session, row, status)

        await self._commit(change)
        self._count_end(status)

    def _note_first_text(self) -> None:
        ms = self.timeline.note_first_text()
        if ms is not None:
            self._counters.first_text_seconds.observe(ms / 1000)

    def _count_end(self, status: str) -> None:
        self._counters.run_seconds[status].observe(self.timeline.now_ms / 1000)

    def _count_calls(self, made: Round) -> None:
        calls = self._counters.tool_calls
        calls["function"] += len(made.functions)
        calls.update(outcome.tool for outcome in made.outcomes.values())

    async def _commit(
        self, change: Callable[[Session, RunRow], tuple[T, list[RunEvent]]], *, durable: bool = True
    ) -> T:
        async with self.turn:
            return await self._store(change, durable=durable)

    async def _store(
        self, change: Callable[[Session, RunRow], tuple[T, list[RunEvent]]], *, durable: bool
    ) -> T:
        pending = self.take_pending()
        news, version = self.news(), self.timeline.version

        def transaction(session: Session) -> tuple[T, str, list[RunEvent]]:
            row = runs.owned_row(session, self.run_id, self._owner)
            if news is not None:
                row.timeline = news
            # Or every query writes the run's new event number first.
            with session.no_autoflush:
                stored = run_events.append(session, row, pending)
                result, events = change(session, row)
            return result, row.id, [*stored, *events]

        commit = self._writer.commit(transaction, durable=durable)
        result = await settled(commit, lambda: self.put_back(pending))
        self._stored_version = version
        return result


def _first_deltas(message_id: str, begun: Sequence[Piece], images: Sequence[str]) -> list[NewEvent]:
    """Images and the first piece of text come in one delta."""
    parts = [wire.image_file(at, file_id) for at, file_id in enumerate(images)]
    if not begun:
        return [_message_delta(message_id, *parts)] if parts else []
    first, index = begun[0], len(images)
    text = _first_text(index, first)
    deltas = [_message_delta(message_id, *parts, text, token_ids=first.token_ids)]
    for piece in begun[1:]:
        part = _more_text(index, piece)
        deltas.append(_message_delta(message_id, part, token_ids=piece.token_ids))
    return deltas


def _first_text(index: int, piece: Piece) -> wire.Payload:
    return wire.first_text(index, piece.text, _indexed(piece))


def _more_text(index: int, piece: Piece) -> wire.Payload:
    return wire.more_text(index, piece.text, _indexed(piece))


def _indexed(piece: Piece) -> list[wire.Payload]:
    return [wire.indexed(at, one) for at, one in enumerate(piece.annotations, piece.first)]


def _message_delta(
    message_id: str, *parts: wire.Payload, token_ids: tuple[int, ...] = ()
) -> NewEvent:
    return NewEvent(wire.MESSAGE_DELTA, wire.message_delta(message_id, *parts), token_ids)


def _close(
    session: Session,
    row: RunRow,
    opened: OpenMessage,
    said: GeneratedText,
    usage: Usage,
    shown: Shown,
    incomplete_reason: str | None,
    evidence: Mapping[str, Any] | None = None,
) -> list[RunEvent]:
    step = run_steps.row(session, opened.step_id)
    step.usage = RunUsage.of(usage).dump()
    step.metadata_ = as_metadata(evidence or {})
    events = changes.close_message(session, row, opened.message_id, said, incomplete_reason, shown)
    return [*events, *changes.end_step(session, row, step, "completed")]
