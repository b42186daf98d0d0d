"""The ingest queue: rows of ``vector_store_files`` whose status is ``in_progress``.

A row is the entry and the outcome in one. ``seq`` identifies an entry for good: a file that is
removed and attached again has another one, so an outcome never reaches the wrong entry. Knows
nothing of parsing or indexes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, exists, func, select, update

from localassist.storage.database import Session
from localassist.storage.tables import FileRow, StoreFileRow, VectorStoreRow
from localassist.storage.vector_stores import bump

_PENDING = StoreFileRow.status == "in_progress"


@dataclass(frozen=True, slots=True)
class QueuedFile:
    """A file that waits for its ingest, and what is needed for it."""

    seq: int
    store_id: str
    file_id: str
    filename: str
    sha256: str
    size_bytes: int
    embedder_id: str


@dataclass(frozen=True, slots=True)
class Completed:
    """The file can be searched: its content is the segment ``segment_key``."""

    segment_key: str
    usage_bytes: int


@dataclass(frozen=True, slots=True)
class Failed:
    """``code`` is one of the hosted API's: unsupported_file, invalid_file, server_error."""

    code: str
    message: str


Outcome = Completed | Failed


def upcoming(
    session: Session, *, besides: Collection[int], per_store: int, limit: int
) -> list[QueuedFile]:
    """The next entries, oldest first but the stores in turn, so that a store of thousands does not
    hold up one of a single file. At most ``per_store`` of each. Files that were ingested before
    come first: they are done in no time, and until then they are missed."""
    order = (StoreFileRow.segment_key.is_(None), StoreFileRow.seq)
    turn = func.row_number().over(partition_by=StoreFileRow.store_id, order_by=order).label("turn")
    queue = (
        select(StoreFileRow.seq, StoreFileRow.store_id, StoreFileRow.id.label("file_id"), turn)
        .where(_PENDING, StoreFileRow.seq.not_in(besides))
        .subquery()
    )
    rows = session.execute(
        select(
            queue.c.seq,
            queue.c.store_id,
            queue.c.file_id,
            FileRow.filename,
            FileRow.sha256,
            FileRow.bytes,
            VectorStoreRow.embedder_id,
        )
        .join(FileRow, FileRow.id == queue.c.file_id)
        .join(VectorStoreRow, VectorStoreRow.id == queue.c.store_id)
        .where(queue.c.turn <= per_store)
        .order_by(queue.c.turn, queue.c.seq)
        .limit(limit)
    )
    return [QueuedFile(*row) for row in rows]


def has_pending(session: Session, store_ids: Collection[str] | None = None) -> bool:
    """Whether anything waits, in these stores or in any."""
    wanted: list[ColumnElement[bool]] = [_PENDING]
    if store_ids is not None:
        wanted.append(StoreFileRow.store_id.in_(store_ids))
    return bool(session.scalar(select(exists().where(*wanted))))


def count_pending(session: Session) -> int:
    """Entries that wait or are being worked on."""
    return session.scalar(select(func.count()).select_from(StoreFileRow).where(_PENDING)) or 0


def unread(session: Session, store_ids: Collection[str]) -> tuple[int, int]:
    """How many files of the stores are in progress, and when the newest of them was attached; 0
    without any."""
    count, newest = session.execute(
        select(func.count(), func.max(StoreFileRow.created_at)).where(
            _PENDING, StoreFileRow.store_id.in_(store_ids)
        )
    ).one()
    return count, newest or 0


def still_pending(session: Session, seqs: Collection[int]) -> set[int]:
    """Those of the entries that were neither cancelled nor removed."""
    return set(
        session.scalars(select(StoreFileRow.seq).where(_PENDING, StoreFileRow.seq.in_(seqs)))
    )


def begin(session: Session, seq: int) -> int | None:
    """Note that work on the entry begins, in case the process dies over it; how often it has
    begun without an end, this time included. None when the entry has gone."""
    row = _pending(session, seq)
    if row is None:
        return None
    row.interruptions += 1
    return row.interruptions


def give_up(session: Session, seq: int) -> None:
    """The entry that was begun is put back in order: nothing has died."""
    row = _pending(session, seq)
    if row is not None and row.interruptions:
        row.interruptions -= 1


def finish(session: Session, outcomes: Mapping[int, Outcome]) -> set[int]:
    """Record how entries ended; returns the entries that still were there for it. Stores that
    gained content get a new version."""
    rows = session.scalars(select(StoreFileRow).where(_PENDING, StoreFileRow.seq.in_(outcomes)))
    found, changed = set(), set()
    for row in rows:
        outcome = outcomes[row.seq]
        found.add(row.seq)
        row.interruptions = 0
        if isinstance(outcome, Failed):
            row.status = "failed"
            row.error_code, row.error_message = outcome.code, outcome.message
            continue
        row.status = "completed"
        row.error_code = row.error_message = None
        row.segment_key, row.usage_bytes = outcome.segment_key, outcome.usage_bytes
        changed.add(row.store_id)
    bump(session, changed)
    return found


def put_back(session: Session, store_id: str, file_ids: Collection[str]) -> None:
    """Queue files again whose content was lost; until it is made anew they are not searched."""
    session.execute(
        update(StoreFileRow)
        .where(
            StoreFileRow.store_id == store_id,
            StoreFileRow.id.in_(file_ids),
            StoreFileRow.status == "completed",
        )
        .values(status="in_progress", interruptions=0)
    )
    bump(session, [store_id])


def store_versions(session: Session) -> dict[str, tuple[int, bool]]:
    """All vector stores: their versions, and whether they have files that can be searched."""
    has_content = exists().where(
        StoreFileRow.store_id == VectorStoreRow.id, StoreFileRow.status == "completed"
    )
    rows = session.execute(select(VectorStoreRow.id, VectorStoreRow.version, has_content))
    return {store_id: (version, bool(content)) for store_id, version, content in rows}


def version(session: Session, store_id: str) -> int | None:
    """The store's version; None when it was deleted."""
    return session.scalar(select(VectorStoreRow.version).where(VectorStoreRow.id == store_id))


def segment_keys(session: Session, store_id: str) -> dict[str, str]:
    """The segments of the store's completed files, by file id."""
    rows = session.execute(
        select(StoreFileRow.id, StoreFileRow.segment_key).where(
            StoreFileRow.store_id == store_id,
            StoreFileRow.status == "completed",
        )
    )
    return {file_id: key for file_id, key in rows if key is not None}


def used_segments(session: Session) -> set[str]:
    """Every segment that a file of a store needs."""
    keys = session.scalars(select(StoreFileRow.segment_key).distinct())
    return {key for key in keys if key is not None}


def _pending(session: Session, seq: int) -> StoreFileRow | None:
    return session.scalar(select(StoreFileRow).where(_PENDING, StoreFileRow.seq == seq))
