"""Objects that bring their own ids, as rows. What they belong to must be there first.

Runs come as they ended: nothing here is ever worked on again. The thread's items, from which the
model's context is made, come with it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import bindparam, delete, insert, select

from localassist import clock
from localassist.schemas.assistants import Assistant
from localassist.schemas.events import run_event_name
from localassist.schemas.files import File
from localassist.schemas.messages import Message
from localassist.schemas.run_steps import RunStep
from localassist.schemas.runs import Run, RunStatus
from localassist.schemas.threads import Thread
from localassist.schemas.vector_stores import DEFAULT_CHUNKING, StoreFile, VectorStore
from localassist.storage import run_events, runs
from localassist.storage.blobs import NO_CONTENT
from localassist.storage.database import Session, in_portions
from localassist.storage.run_events import NewEvent
from localassist.storage.tables import (
    ACTIVE_STATUSES,
    AssistantRow,
    Base,
    CodeFileRow,
    FileRow,
    ItemRow,
    MessageRow,
    ObjectRow,
    RunRow,
    RunStepRow,
    StoreFileRow,
    ThreadRow,
    VectorStoreRow,
)

_THREADS = Base.metadata.tables["threads"]
_DELETE_THREAD = delete(_THREADS).where(_THREADS.c.id == bindparam("thread"))
_TOMBSTONES = Base.metadata.tables["tombstones"]
_UNBURY = delete(_TOMBSTONES).where(_TOMBSTONES.c.id == bindparam("buried"))
# Columns that are called something else in their row.
_ATTRIBUTES = {"metadata": "metadata_"}
_TABLES: dict[str, type[ObjectRow]] = {
    "assistant": AssistantRow,
    "thread": ThreadRow,
    "thread.message": MessageRow,
    "thread.run": RunRow,
    "thread.run.step": RunStepRow,
    "file": FileRow,
    "vector_store": VectorStoreRow,
}


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose an object is: its project, and its thread where it has one."""

    project: str
    thread_id: str | None


@dataclass(frozen=True, slots=True)
class NewItem:
    """An item of a thread's context, as ``items.Item`` has it."""

    kind: str
    run_id: str | None
    message_id: str | None
    payload: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Talk:
    """A thread with all that belongs to it, each list oldest first. ``code_files`` are files that
    its code has written, by path."""

    thread: Thread
    messages: Sequence[Message]
    runs: Sequence[Run]
    steps: Sequence[RunStep]
    items: Sequence[NewItem]
    code_files: Mapping[str, str]


def holders(session: Session, kind: str, object_ids: Collection[str]) -> dict[str, Holder]:
    """Who has objects of these ids already, in any project."""
    table = _TABLES[kind]
    thread_id = getattr(table, "thread_id", None)
    found: dict[str, Holder] = {}
    for portion in in_portions(object_ids):
        columns = [table.id, table.project_id, *([] if thread_id is None else [thread_id])]
        for row in session.execute(select(*columns).where(table.id.in_(portion))):
            found[row[0]] = Holder(row[1], None if thread_id is None else row[2])
    return found


def without_content(session: Session, file_ids: Collection[str]) -> set[str]:
    """Those of the files that were imported without their content."""
    found: set[str] = set()
    for portion in in_portions(file_ids):
        lost = select(FileRow.id).where(FileRow.id.in_(portion), FileRow.sha256 == NO_CONTENT)
        found.update(session.scalars(lost))
    return found


def hold_threads(session: Session, thread_ids: Collection[str]) -> None:
    """Until the transaction ends nobody begins a run on those of the threads that are there. On
    SQLite nobody writes meanwhile anyway."""
    for portion in in_portions(sorted(thread_ids)):
        held = select(ThreadRow.id).where(ThreadRow.id.in_(portion)).order_by(ThreadRow.id)
        session.execute(held.with_for_update())


def busy_threads(session: Session, thread_ids: Collection[str]) -> set[str]:
    """Those of the threads on which a run is active."""
    found: set[str] = set()
    for portion in in_portions(thread_ids):
        active = select(RunRow.thread_id).where(
            RunRow.thread_id.in_(portion), RunRow.status.in_(ACTIVE_STATUSES)
        )
        found.update(session.scalars(active))
    return found


def put_file(session: Session, project: str, file: File, sha256: str) -> None:
    """Store a file's record, or change the one that is there; ``NO_CONTENT`` without a content."""
    row = session.scalar(select(FileRow).where(FileRow.id == file.id))
    if row is None:
        row = FileRow(id=file.id, project_id=project)
        session.add(row)
    row.created_at = file.created_at
    row.filename, row.purpose, row.bytes = file.filename, file.purpose, file.bytes
    row.expires_at, row.sha256 = file.expires_at, sha256
    _unbury(session, file.id)
    session.flush()


def put_assistant(session: Session, project: str, assistant: Assistant) -> None:
    """Store an assistant, or change the one that is there. A sampling value of 1 is what every
    assistant shows that left it open, and is taken for that."""
    row = session.scalar(select(AssistantRow).where(AssistantRow.id == assistant.id))
    if row is None:
        row = AssistantRow(id=assistant.id, project_id=project)
        session.add(row)
    fields = assistant.dump()
    row.created_at = assistant.created_at
    for name in ("name", "description", "model", "instructions", "tools", "tool_resources"):
        setattr(row, name, fields[name])
    row.file_ids, row.metadata_ = fields["file_ids"], fields["metadata"]
    row.temperature, row.top_p = _left_open(assistant.temperature), _left_open(assistant.top_p)
    row.response_format = fields["response_format"]
    row.reasoning_effort = fields["reasoning_effort"]
    _unbury(session, assistant.id)
    session.flush()


def put_store(
    session: Session,
    project: str,
    store: VectorStore,
    files: Sequence[StoreFile],
    *,
    embedder_id: str,
    unreadable: Collection[str],
) -> None:
    """Store a vector store with its files, in place of the one that is there. The files wait for
    their ingest; those of ``unreadable`` have failed. Being imported counts as a use, but does not
    bring back a store that had expired."""
    row = session.scalar(select(VectorStoreRow).where(VectorStoreRow.id == store.id))
    if row is None:
        row = VectorStoreRow(id=store.id, project_id=project, version=0, embedder_id=embedder_id)
        session.add(row)
    row.created_at, row.name, row.description = store.created_at, store.name, store.description
    row.metadata_ = dict(store.metadata)
    row.expires_after_days = None if store.expires_after is None else store.expires_after.days
    has_expired = store.status == "expired"
    row.last_active_at = store.last_active_at if has_expired else clock.now()
    row.version += 1
    _unbury(session, store.id)
    session.flush()
    session.execute(delete(StoreFileRow).where(StoreFileRow.store_id == store.id))
    rows = [_store_file(project, store.id, file, file.id in unreadable) for file in files]
    if rows:
        session.execute(insert(StoreFileRow), rows)


def put_talk(session: Session, project: str, talk: Talk) -> None:
    """Store a thread with all that belongs to it, in place of the one that is there. Takes as many
    statements for a long thread as for a short one."""
    thread = talk.thread
    session.execute(_DELETE_THREAD, {"thread": thread.id})
    fields = {
        "id": thread.id,
        "project_id": project,
        "created_at": thread.created_at,
        "metadata": dict(thread.metadata),
        "tool_resources": thread.tool_resources.dump(),
    }
    _insert(session, ThreadRow, [fields])
    _unbury(session, thread.id)
    runs_made = [_run(project, each) for each in talk.runs]
    _insert(session, MessageRow, [_message(project, thread.id, each) for each in talk.messages])
    _insert(session, RunRow, runs_made)
    _insert(session, RunStepRow, [_step(project, each) for each in talk.steps])
    _insert(session, ItemRow, [_item(thread.id, each) for each in talk.items])
    paths = [
        {"thread_id": thread.id, "path": path, "file_id": file_id}
        for path, file_id in talk.code_files.items()
    ]
    _insert(session, CodeFileRow, paths)
    # A stream that is attached to a run is told how it ended.
    run_events.begin(session, {run["id"]: _end_of(run) for run in runs_made})
    session.expire_all()


def _end_of(run: dict[str, Any]) -> NewEvent:
    row = RunRow(**{_ATTRIBUTES.get(name, name): value for name, value in run.items()})
    return NewEvent(run_event_name(cast(RunStatus, row.status)), runs.to_wire(row).dump())


def _insert(session: Session, table: type[Base], rows: list[dict[str, Any]]) -> None:
    """Rows by the names of their columns, past the ORM, which would look at each."""
    if rows:
        session.connection().execute(insert(Base.metadata.tables[table.__tablename__]), rows)


def _unbury(session: Session, object_id: str) -> None:
    session.execute(_UNBURY, {"buried": object_id})


def _left_open(value: float | None) -> float | None:
    return None if value == 1.0 else value


def _store_file(project: str, store_id: str, file: StoreFile, is_lost: bool) -> dict[str, Any]:
    static = file.chunking_strategy.static
    is_auto = static == DEFAULT_CHUNKING
    status = "failed" if is_lost and file.status != "cancelled" else file.status
    has_failed = status == "failed"
    return {
        "id": file.id,
        "store_id": store_id,
        "project_id": project,
        "created_at": file.created_at,
        "status": status,
        "error_code": "invalid_file" if has_failed else None,
        "error_message": "The content was not there when the file was imported."
        if has_failed
        else None,
        "usage_bytes": 0,
        "chunk_tokens": None if is_auto else static.max_chunk_size_tokens,
        "chunk_overlap_tokens": None if is_auto else static.chunk_overlap_tokens,
        "attributes": dict(file.attributes),
        "interruptions": 0,
    }


def _message(project: str, thread_id: str, message: Message) -> dict[str, Any]:
    fields = message.dump()
    details = message.incomplete_details
    return {
        **{
            name: fields[name]
            for name in (
                *("id", "created_at", "role", "status", "content", "attachments", "file_ids"),
                *("assistant_id", "run_id", "completed_at", "incomplete_at"),
            )
        },
        "project_id": project,
        "thread_id": thread_id,
        "incomplete_reason": None if details is None else details.reason,
        "metadata": fields["metadata"],
    }


def _run(project: str, run: Run) -> dict[str, Any]:
    fields = run.dump()
    times = ("completed_at", "failed_at", "cancelled_at", "expires_at", "started_at", "created_at")
    kept = (
        *("id", "created_at", "thread_id", "assistant_id", "status", "last_error", "expires_at"),
        *("started_at", "cancelled_at", "failed_at", "completed_at", "usage"),
    )
    request = (
        *("model", "instructions", "tools", "tool_resources", "file_ids", "temperature", "top_p"),
        *("max_prompt_tokens", "max_completion_tokens", "truncation_strategy", "tool_choice"),
        *("parallel_tool_calls", "response_format", "reasoning_effort"),
    )
    return {
        **{name: fields[name] for name in kept},
        "project_id": project,
        "incomplete_reason": None
        if run.incomplete_details is None
        else run.incomplete_details.reason,
        "ended_at": next(fields[name] for name in times if fields[name] is not None),
        "request": {**{name: fields[name] for name in request}, "code_limits": {}},
        "metadata": fields["metadata"],
        "context_truncation": run.context_truncation,
        "last_event_seq": 0,
        "interruptions": 0,
    }


def _step(project: str, step: RunStep) -> dict[str, Any]:
    fields = step.dump()
    kept = (
        *("id", "created_at", "thread_id", "run_id", "assistant_id", "type", "status", "usage"),
        *("step_details", "last_error", "completed_at", "failed_at", "cancelled_at", "expired_at"),
    )
    return {
        **{name: fields[name] for name in kept},
        "project_id": project,
        "metadata": fields["metadata"] or {},
    }


def _item(thread_id: str, item: NewItem) -> dict[str, Any]:
    return {
        "thread_id": thread_id,
        "kind": item.kind,
        "run_id": item.run_id,
        "message_id": item.message_id,
        "payload": item.payload,
    }
