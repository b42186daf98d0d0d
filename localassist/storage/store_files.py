"""Files in vector stores: rows in, wire objects out.

A row in status ``in_progress`` is an entry of the ingest queue. Whoever changes what can be
searched raises the store's version in the same transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, insert, select

from localassist import clock
from localassist.errors import ResourceNotFound
from localassist.schemas.base import ListQuery, Page
from localassist.schemas.tools import AutoChunkingStrategy, StaticChunkingStrategy
from localassist.schemas.vector_stores import StoreFile, StoreFileCreate, StoreFileStatus
from localassist.storage.database import Session, in_portions
from localassist.storage.pagination import bury, page_rows
from localassist.storage.tables import BatchEntryRow, FileRow, StoreFileRow, VectorStoreRow
from localassist.storage.vector_stores import bump, usable

_Chunking = AutoChunkingStrategy | StaticChunkingStrategy


@dataclass(frozen=True, slots=True)
class Member:
    """A file that can be searched. ``chunk_tokens`` None is the strategy ``auto``."""

    file_id: str
    filename: str
    segment_key: str
    attributes: Mapping[str, Any]
    chunk_tokens: int | None
    chunk_overlap_tokens: int | None


def attach(
    session: Session, project: str, store_id: str, entries: Sequence[StoreFileCreate]
) -> None:
    """Put files, which exist, into the store. Raises as ``vector_stores.usable`` does.

    A file that is there already stays, with the attributes of the entry if it has any. It is queued
    again when its chunking strategy changes or it had not been indexed.
    """
    store = usable(session, project, store_id)
    wanted = {entry.file_id: entry for entry in entries}
    present = {
        row.id: row
        for portion in in_portions(wanted)
        for row in session.scalars(
            select(StoreFileRow).where(
                StoreFileRow.store_id == store.id, StoreFileRow.id.in_(portion)
            )
        )
    }
    for file_id, row in present.items():
        _attach_again(row, wanted[file_id])
    new = [_new_row(store, entry) for entry in wanted.values() if entry.file_id not in present]
    if new:
        session.execute(insert(StoreFileRow), new)
    _note_change(store)
    session.flush()


def get(session: Session, project: str, store_id: str, file_id: str) -> StoreFile:
    """Raises ResourceNotFound."""
    return to_wire(find(session, project, store_id, file_id))


def find(session: Session, project: str, store_id: str, file_id: str) -> StoreFileRow:
    """The row. Raises ResourceNotFound."""
    row = session.scalar(
        select(StoreFileRow).where(
            StoreFileRow.store_id == store_id,
            StoreFileRow.id == file_id,
            StoreFileRow.project_id == project,
        )
    )
    if row is None:
        raise ResourceNotFound(_missing(store_id).format(id=file_id))
    return row


def set_attributes(
    session: Session, project: str, store_id: str, file_id: str, attributes: Mapping[str, Any]
) -> StoreFile:
    """Replace a file's attributes. Raises ResourceNotFound, and as ``vector_stores.usable``."""
    store = usable(session, project, store_id)
    row = find(session, project, store_id, file_id)
    row.attributes = dict(attributes)
    _note_change(store)
    session.flush()
    return to_wire(row)


def remove(session: Session, project: str, store_id: str, file_id: str) -> None:
    """Take a file out of the store. Raises ResourceNotFound, and as ``vector_stores.usable``."""
    store = usable(session, project, store_id)
    _bury(session, find(session, project, store_id, file_id))
    _note_change(store)
    session.flush()


def discard(session: Session, file_id: str, store_ids: Collection[str] | None = None) -> None:
    """Take the file out of those stores that have it, expired or not; out of all if none are
    named."""
    wanted = [StoreFileRow.id == file_id]
    if store_ids is not None:
        wanted.append(StoreFileRow.store_id.in_(store_ids))
    rows = list(session.scalars(select(StoreFileRow).where(*wanted)))
    for row in rows:
        _bury(session, row)
    bump(session, [row.store_id for row in rows])


def list_page(
    session: Session,
    project: str,
    store_id: str,
    query: ListQuery,
    *,
    status: StoreFileStatus | None = None,
    batch_id: str | None = None,
) -> Page[StoreFile]:
    """Files of the store, or of one of its batches. The cursor is the file's id, which also works
    when the file has left the store or has changed its status."""
    wanted = [StoreFileRow.store_id == store_id]
    if batch_id is not None:
        wanted.append(in_batch(batch_id))
    rows, has_more = page_rows(
        session,
        StoreFileRow,
        project,
        wanted,
        query,
        parent_id=store_id,
        missing=_missing(store_id),
        passing=() if status is None else (StoreFileRow.status == status,),
        tombstone_id=lambda file_id: _tombstone_id(store_id, file_id),
    )
    return Page.of([to_wire(row) for row in rows], has_more=has_more)


def in_batch(batch_id: str) -> ColumnElement[bool]:
    """The condition that a store file was attached with the batch."""
    return StoreFileRow.id.in_(
        select(BatchEntryRow.file_id).where(BatchEntryRow.batch_id == batch_id)
    )


def members(session: Session, store_id: str) -> list[Member]:
    """What a search of the store looks through, in the order it was attached."""
    # Columns, not entities: of those, ten thousand take a second.
    rows = session.execute(
        select(
            StoreFileRow.id,
            FileRow.filename,
            StoreFileRow.segment_key,
            StoreFileRow.attributes,
            StoreFileRow.chunk_tokens,
            StoreFileRow.chunk_overlap_tokens,
        )
        .join(FileRow, FileRow.id == StoreFileRow.id)
        .where(
            StoreFileRow.store_id == store_id,
            StoreFileRow.status == "completed",
            StoreFileRow.segment_key.is_not(None),
        )
        .order_by(StoreFileRow.seq)
    )
    return [Member(*row) for row in rows]


def to_wire(row: StoreFileRow) -> StoreFile:
    fields = {
        "id": row.id,
        "created_at": row.created_at,
        "vector_store_id": row.store_id,
        "usage_bytes": row.usage_bytes,
        "status": row.status,
        "last_error": None
        if row.error_code is None
        else {"code": row.error_code, "message": row.error_message or ""},
        "attributes": row.attributes,
    }
    if row.chunk_tokens is not None:
        static = {
            "max_chunk_size_tokens": row.chunk_tokens,
            "chunk_overlap_tokens": row.chunk_overlap_tokens,
        }
        fields["chunking_strategy"] = {"type": "static", "static": static}
    return StoreFile.model_validate(fields)


def _note_change(store: VectorStoreRow) -> None:
    store.last_active_at = clock.now()
    store.version += 1


def _new_row(store: VectorStoreRow, entry: StoreFileCreate) -> dict[str, Any]:
    chunk_tokens, chunk_overlap_tokens = _chunk_columns(entry.chunking_strategy)
    return {
        "id": entry.file_id,
        "store_id": store.id,
        "project_id": store.project_id,
        "created_at": clock.now(),
        "status": "in_progress",
        "usage_bytes": 0,
        "chunk_tokens": chunk_tokens,
        "chunk_overlap_tokens": chunk_overlap_tokens,
        "attributes": dict(entry.attributes or {}),
        "interruptions": 0,
    }


def _attach_again(row: StoreFileRow, entry: StoreFileCreate) -> None:
    if entry.attributes is not None:
        row.attributes = dict(entry.attributes)
    is_changed = False
    if entry.chunking_strategy is not None:
        chunking = _chunk_columns(entry.chunking_strategy)
        is_changed = chunking != (row.chunk_tokens, row.chunk_overlap_tokens)
        row.chunk_tokens, row.chunk_overlap_tokens = chunking
    if is_changed or row.status in ("failed", "cancelled"):
        row.status = "in_progress"
        row.error_code = row.error_message = None
        row.usage_bytes = row.interruptions = 0


def _chunk_columns(strategy: _Chunking | None) -> tuple[int | None, int | None]:
    if strategy is None or isinstance(strategy, AutoChunkingStrategy):
        return None, None
    return strategy.static.max_chunk_size_tokens, strategy.static.chunk_overlap_tokens


def _bury(session: Session, row: StoreFileRow) -> None:
    bury(
        session,
        row,
        parent_id=row.store_id,
        tombstone_id=_tombstone_id(row.store_id, row.id),
    )


def _tombstone_id(store_id: str, file_id: str) -> str:
    # A file may leave several stores, and leave them before it is deleted itself.
    return f"{store_id}/{file_id}"


def _missing(store_id: str) -> str:
    # The ids come from callers and may hold braces.
    escaped = store_id.replace("{", "{{").replace("}", "}}")
    return f"No file found with id '{{id}}' in vector store '{escaped}'."
