"""Threads: rows in, wire objects out; and the lock that a running run holds on its thread."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from localassist import clock, ids
from localassist.errors import ResourceNotFound
from localassist.schemas.base import ListQuery, Page, merge_metadata
from localassist.schemas.threads import Thread
from localassist.storage.database import Session
from localassist.storage.pagination import bury, page
from localassist.storage.tables import ACTIVE_STATUSES, RunRow, ThreadRow

MISSING = "No thread found with id '{id}'."


def insert(session: Session, project: str, fields: dict[str, Any]) -> Thread:
    row = ThreadRow(
        id=ids.new_id("thread"),
        project_id=project,
        created_at=clock.now(),
        metadata_=fields.get("metadata") or {},
        tool_resources=fields.get("tool_resources") or {},
    )
    session.add(row)
    session.flush()
    return _to_wire(row)


def get(session: Session, project: str, thread_id: str) -> Thread:
    """Raises ResourceNotFound."""
    return _to_wire(_row(session, project, thread_id))


def all_ids(session: Session, project: str) -> list[str]:
    """The project's threads, oldest first."""
    mine = select(ThreadRow.id).where(ThreadRow.project_id == project)
    return list(session.scalars(mine.order_by(ThreadRow.created_at, ThreadRow.seq)))


def update(session: Session, project: str, thread_id: str, fields: dict[str, Any]) -> Thread:
    """Change the given fields; metadata is merged, tool resources replaced key by key."""
    row = _row(session, project, thread_id, for_update=True)
    if "metadata" in fields:
        row.metadata_ = merge_metadata(row.metadata_, fields["metadata"])
    if "tool_resources" in fields:
        given = fields["tool_resources"]
        row.tool_resources = {} if given is None else {**row.tool_resources, **given}
    session.flush()
    return _to_wire(row)


def delete(session: Session, project: str, thread_id: str) -> None:
    """Raises ResourceNotFound. Messages, runs, steps, events and items go with the thread."""
    bury(session, _row(session, project, thread_id), parent_id=None)


def list_page(session: Session, project: str, query: ListQuery) -> Page[Thread]:
    return page(session, ThreadRow, project, [], query, _to_wire, parent_id=None, missing=MISSING)


def lock(session: Session, project: str, thread_id: str) -> str | None:
    """Hold the thread for the rest of this transaction; returns the id of its active run, if any.

    Raises ResourceNotFound. SQLite's write transaction is exclusive already; elsewhere the row lock
    keeps two requests from both seeing a free thread.
    """
    _row(session, project, thread_id, for_update=True)
    return session.scalar(
        select(RunRow.id).where(RunRow.thread_id == thread_id, RunRow.status.in_(ACTIVE_STATUSES))
    )


def _row(session: Session, project: str, thread_id: str, *, for_update: bool = False) -> ThreadRow:
    statement = select(ThreadRow).where(ThreadRow.id == thread_id, ThreadRow.project_id == project)
    row = session.scalar(statement.with_for_update() if for_update else statement)
    if row is None:
        raise ResourceNotFound(MISSING.format(id=thread_id))
    return row


def _to_wire(row: ThreadRow) -> Thread:
    return Thread.model_validate(
        {
            "id": row.id,
            "created_at": row.created_at,
            "metadata": row.metadata_,
            "tool_resources": row.tool_resources,
        }
    )
