"""Batches of files that were attached to a vector store together.

A batch only remembers which files it attached: status and counts are those of the store's rows.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, insert, select, update

from localassist import clock, ids
from localassist.errors import ResourceNotFound
from localassist.schemas.vector_stores import FileBatch
from localassist.storage.database import Session
from localassist.storage.store_files import in_batch
from localassist.storage.tables import BatchEntryRow, FileBatchRow, StoreFileRow
from localassist.storage.vector_stores import counts

MISSING = "No file batch found with id '{id}'."


def create(session: Session, project: str, store_id: str, file_ids: Sequence[str]) -> FileBatch:
    """Store a batch of files that have been attached to the store."""
    row = FileBatchRow(
        id=ids.new_id("file_batch"),
        project_id=project,
        created_at=clock.now(),
        store_id=store_id,
    )
    session.add(row)
    session.flush()
    entries = [{"batch_id": row.id, "file_id": file_id} for file_id in dict.fromkeys(file_ids)]
    session.execute(insert(BatchEntryRow), entries)
    return _to_wire(session, row)


def get(session: Session, project: str, store_id: str, batch_id: str) -> FileBatch:
    """Raises ResourceNotFound, also for a batch of another store."""
    return _to_wire(session, _find(session, project, store_id, batch_id))


def cancel(session: Session, project: str, store_id: str, batch_id: str) -> FileBatch:
    """Cancel what is still in progress; a batch that has ended stays as it is. Raises
    ResourceNotFound."""
    row = _find(session, project, store_id, batch_id)
    stopped = session.execute(
        update(StoreFileRow)
        .where(
            StoreFileRow.store_id == store_id,
            StoreFileRow.status == "in_progress",
            in_batch(batch_id),
        )
        .values(status="cancelled")
        .returning(StoreFileRow.seq)
    ).all()
    if stopped:
        row.cancelled_at = clock.now()
        session.flush()
    return _to_wire(session, row)


def _find(session: Session, project: str, store_id: str, batch_id: str) -> FileBatchRow:
    row = session.scalar(
        select(FileBatchRow).where(
            FileBatchRow.id == batch_id,
            FileBatchRow.store_id == store_id,
            FileBatchRow.project_id == project,
        )
    )
    if row is None:
        raise ResourceNotFound(MISSING.format(id=batch_id))
    return row


def _to_wire(session: Session, row: FileBatchRow) -> FileBatch:
    statuses = session.execute(
        select(StoreFileRow.status, func.count())
        .where(StoreFileRow.store_id == row.store_id, in_batch(row.id))
        .group_by(StoreFileRow.status)
    )
    file_counts = counts({status: count for status, count in statuses})
    if row.cancelled_at is not None:
        status = "cancelled"
    elif file_counts["in_progress"]:
        status = "in_progress"
    elif file_counts["failed"] and file_counts["failed"] == file_counts["total"]:
        status = "failed"
    else:
        status = "completed"
    return FileBatch.model_validate(
        {
            "id": row.id,
            "created_at": row.created_at,
            "vector_store_id": row.store_id,
            "status": status,
            "file_counts": file_counts,
        }
    )
