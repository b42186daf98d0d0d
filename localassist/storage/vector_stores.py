"""Vector stores: rows in, wire objects out. Their files are in ``store_files``.

Counts and sizes are never stored: they are sums over the rows of the files.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Select, func, select, update

from localassist import clock, ids
from localassist.errors import InvalidRequest, ResourceNotFound
from localassist.schemas.base import ListQuery, Page, merge_metadata
from localassist.schemas.vector_stores import VectorStore
from localassist.storage.database import Session
from localassist.storage.pagination import bury, page_rows
from localassist.storage.tables import AssistantRow, StoreFileRow, ThreadRow, VectorStoreRow

MISSING = "No vector store found with id '{id}'."
_SECONDS_PER_DAY = 86_400


def insert(
    session: Session,
    project: str,
    *,
    embedder_id: str,
    name: str | None = None,
    description: str | None = None,
    metadata: Mapping[str, str] | None = None,
    expires_after_days: int | None = None,
) -> str:
    """Store an empty vector store; returns its id. ``embedder_id`` is the model of its vectors."""
    at = clock.now()
    row = VectorStoreRow(
        id=ids.new_id("vector_store"),
        project_id=project,
        created_at=at,
        name=name,
        description=description,
        metadata_=dict(metadata or {}),
        expires_after_days=expires_after_days,
        last_active_at=at,
        embedder_id=embedder_id,
        version=0,
    )
    session.add(row)
    session.flush()
    return row.id


def get(session: Session, project: str, store_id: str) -> VectorStore:
    """Raises ResourceNotFound. An expired store can still be looked at."""
    return to_wire(session, find(session, project, store_id))


def update_fields(
    session: Session, project: str, store_id: str, fields: Mapping[str, Any]
) -> VectorStore:
    """Change the given columns; metadata is merged. Raises as ``usable`` does."""
    row = usable(session, project, store_id)
    for name, value in fields.items():
        if name == "metadata":
            row.metadata_ = merge_metadata(row.metadata_, value)
        else:
            setattr(row, name, value)
    row.last_active_at = clock.now()
    session.flush()
    return to_wire(session, row)


def delete(session: Session, project: str, store_id: str) -> None:
    """Raises ResourceNotFound. The files themselves stay."""
    bury(session, find(session, project, store_id), parent_id=None)


def list_page(session: Session, project: str, query: ListQuery) -> Page[VectorStore]:
    rows, has_more = page_rows(
        session, VectorStoreRow, project, [], query, parent_id=None, missing=MISSING
    )
    counted = _counted(session, [row.id for row in rows])
    return Page.of([_wire(row, counted.get(row.id, {})) for row in rows], has_more=has_more)


def find(session: Session, project: str, store_id: str) -> VectorStoreRow:
    """The row. Raises ResourceNotFound."""
    row = session.scalar(_one(project, store_id))
    if row is None:
        raise ResourceNotFound(MISSING.format(id=store_id))
    return row


def usable(session: Session, project: str, store_id: str) -> VectorStoreRow:
    """The row of a store that may be changed, held for the rest of this transaction.

    Raises ResourceNotFound, and InvalidRequest when the store has expired.
    """
    row = session.scalar(_one(project, store_id).with_for_update())
    if row is None:
        raise ResourceNotFound(MISSING.format(id=store_id))
    check_alive(row)
    return row


def check_alive(row: VectorStoreRow) -> None:
    """Raises InvalidRequest when the store has expired, in the words for search and changes."""
    if is_expired(row):
        raise InvalidRequest(f"Vector store '{row.id}' has expired")


def check_usable(session: Session, project: str, store_ids: Collection[str]) -> None:
    """Raises InvalidRequest when one of the stores has expired, in the words for runs. Stores that
    were deleted count as empty."""
    for row in rows_of(session, project, store_ids):
        if is_expired(row):
            raise InvalidRequest(f"Vector store {row.id} is expired.")


def store_ids_of(
    session: Session, project: str, assistant_id: str | None, thread_id: str | None
) -> list[str]:
    """The stores that are attached to the assistant and to the thread, in this order, without those
    that were deleted."""
    attached = [
        store_id
        for table, owner_id in ((AssistantRow, assistant_id), (ThreadRow, thread_id))
        for resources in session.scalars(
            select(table.tool_resources).where(table.id == owner_id, table.project_id == project)
        )
        for store_id in attached_ids(resources)
    ]
    return existing(session, project, attached)


def attached_ids(tool_resources: Mapping[str, Any]) -> list[str]:
    """The vector stores that tool resources, as stored, name."""
    return list((tool_resources.get("file_search") or {}).get("vector_store_ids") or [])


def existing(session: Session, project: str, store_ids: Sequence[str]) -> list[str]:
    """Those of the stores that are there, each once, in the order given."""
    found = {row.id for row in rows_of(session, project, store_ids)}
    return [store_id for store_id in dict.fromkeys(store_ids) if store_id in found]


def rows_of(session: Session, project: str, store_ids: Collection[str]) -> list[VectorStoreRow]:
    """The rows of the stores that are there, expired ones included."""
    if not store_ids:
        return []
    named = VectorStoreRow.id.in_(store_ids)
    return list(
        session.scalars(select(VectorStoreRow).where(named, VectorStoreRow.project_id == project))
    )


def touch(session: Session, store_ids: Collection[str]) -> None:
    """Note that the stores are used now, which moves their expiry."""
    named = VectorStoreRow.id.in_(store_ids)
    session.execute(update(VectorStoreRow).where(named).values(last_active_at=clock.now()))


def bump(session: Session, store_ids: Collection[str]) -> None:
    """Note that other files of the stores can be searched than before."""
    named = VectorStoreRow.id.in_(store_ids)
    version = VectorStoreRow.version + 1
    session.execute(update(VectorStoreRow).where(named).values(version=version))


def is_expired(row: VectorStoreRow) -> bool:
    expires_at = _expires_at(row)
    return expires_at is not None and expires_at <= clock.now()


def counts(statuses: Mapping[str, int]) -> dict[str, int]:
    """``file_counts`` from the number of files in each status."""
    names = ("in_progress", "completed", "failed", "cancelled")
    found = {name: statuses.get(name, 0) for name in names}
    return {**found, "total": sum(found.values())}


def to_wire(session: Session, row: VectorStoreRow) -> VectorStore:
    return _wire(row, _counted(session, [row.id]).get(row.id, {}))


def _one(project: str, store_id: str) -> Select[VectorStoreRow]:
    return select(VectorStoreRow).where(
        VectorStoreRow.id == store_id, VectorStoreRow.project_id == project
    )


def _expires_at(row: VectorStoreRow) -> int | None:
    if row.expires_after_days is None:
        return None
    return row.last_active_at + row.expires_after_days * _SECONDS_PER_DAY


def _counted(session: Session, store_ids: Iterable[str]) -> dict[str, dict[str, tuple[int, int]]]:
    """By store and status: the number of files, and what they take in bytes."""
    columns = (StoreFileRow.store_id, StoreFileRow.status)
    sums = (func.count(), func.coalesce(func.sum(StoreFileRow.usage_bytes), 0))
    found: dict[str, dict[str, tuple[int, int]]] = {}
    for store_id, status, count, size_bytes in session.execute(
        select(*columns, *sums).where(StoreFileRow.store_id.in_(store_ids)).group_by(*columns)
    ):
        # PostgreSQL adds up to a decimal.
        found.setdefault(store_id, {})[status] = (count, int(size_bytes))
    return found


def _wire(row: VectorStoreRow, counted: Mapping[str, tuple[int, int]]) -> VectorStore:
    file_counts = counts({status: count for status, (count, _) in counted.items()})
    status = "in_progress" if file_counts["in_progress"] else "completed"
    days = row.expires_after_days
    return VectorStore.model_validate(
        {
            "id": row.id,
            "created_at": row.created_at,
            "name": row.name or "",
            "description": row.description,
            "usage_bytes": sum(size_bytes for _, size_bytes in counted.values()),
            "file_counts": file_counts,
            "status": "expired" if is_expired(row) else status,
            "expires_after": None if days is None else {"anchor": "last_active_at", "days": days},
            "expires_at": _expires_at(row),
            "last_active_at": row.last_active_at,
            "metadata": row.metadata_,
        }
    )
