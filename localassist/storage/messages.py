"""Messages: rows in, wire objects out. A client's message also becomes an item of the context."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from localassist import ids
from localassist.errors import ResourceNotFound
from localassist.schemas.base import ListQuery, Page, merge_metadata
from localassist.schemas.messages import Message
from localassist.storage.database import Session
from localassist.storage.pagination import bury, next_created_at, page
from localassist.storage.tables import ItemRow, MessageRow

MISSING = "No message found with id '{id}'."


def insert(session: Session, project: str, thread_id: str, fields: dict[str, Any]) -> Message:
    """Store a client's finished message and its item. The caller holds the thread's lock."""
    at = next_created_at(session, MessageRow, MessageRow.thread_id == thread_id)
    row = MessageRow(
        id=ids.new_id("message"),
        project_id=project,
        thread_id=thread_id,
        created_at=at,
        role=fields["role"],
        status="completed",
        completed_at=at,
        content=fields["content"],
        attachments=fields.get("attachments") or [],
        file_ids=fields.get("file_ids") or [],
        metadata_=fields.get("metadata") or {},
    )
    session.add(row)
    session.flush()
    session.add(ItemRow(thread_id=thread_id, message_id=row.id, kind="message"))
    return to_wire(row)


def get(session: Session, project: str, thread_id: str, message_id: str) -> Message:
    """Raises ResourceNotFound, also for a message of another thread."""
    return to_wire(_row(session, project, thread_id, message_id))


def update(
    session: Session, project: str, thread_id: str, message_id: str, metadata: dict[str, str] | None
) -> Message:
    """Merge ``metadata``; nothing else of a message can change."""
    row = _row(session, project, thread_id, message_id)
    row.metadata_ = merge_metadata(row.metadata_, metadata)
    session.flush()
    return to_wire(row)


def delete(session: Session, project: str, thread_id: str, message_id: str) -> None:
    """Raises ResourceNotFound. The model no longer sees the message either."""
    bury(session, _row(session, project, thread_id, message_id), parent_id=thread_id)


def list_page(
    session: Session, project: str, thread_id: str, query: ListQuery, run_id: str | None
) -> Page[Message]:
    wanted = [MessageRow.thread_id == thread_id]
    if run_id is not None:
        wanted.append(MessageRow.run_id == run_id)
    return page(
        session, MessageRow, project, wanted, query, to_wire, parent_id=thread_id, missing=MISSING
    )


def find(session: Session, message_id: str) -> MessageRow | None:
    """The row of a message, None when it has been deleted."""
    return session.scalar(select(MessageRow).where(MessageRow.id == message_id))


def _row(session: Session, project: str, thread_id: str, message_id: str) -> MessageRow:
    row = session.scalar(
        select(MessageRow).where(
            MessageRow.id == message_id,
            MessageRow.thread_id == thread_id,
            MessageRow.project_id == project,
        )
    )
    if row is None:
        raise ResourceNotFound(MISSING.format(id=message_id))
    return row


def to_wire(row: MessageRow) -> Message:
    return Message.model_validate(
        {
            "id": row.id,
            "created_at": row.created_at,
            "thread_id": row.thread_id,
            "status": row.status,
            "incomplete_details": None
            if row.incomplete_reason is None
            else {"reason": row.incomplete_reason},
            "completed_at": row.completed_at,
            "incomplete_at": row.incomplete_at,
            "role": row.role,
            "content": row.content,
            "assistant_id": row.assistant_id,
            "run_id": row.run_id,
            "attachments": row.attachments,
            "metadata": row.metadata_,
            "file_ids": row.file_ids,
        }
    )
