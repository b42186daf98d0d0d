"""Uploads and their parts: rows in, wire objects out. The bytes are in ``blobs``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select

from localassist import clock, ids
from localassist.errors import InvalidRequest, ResourceNotFound
from localassist.schemas.uploads import Upload, UploadCreate, UploadPart
from localassist.storage import files
from localassist.storage.blobs import Blob
from localassist.storage.database import Session
from localassist.storage.tables import FileRow, UploadPartRow, UploadRow

MISSING = "No such Upload object: {id}"
LIFETIME_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class PendingUpload:
    """What is to become a file: its declared size, and its parts in order."""

    size_bytes: int
    parts: tuple[Blob, ...]


def insert(session: Session, project: str, body: UploadCreate) -> Upload:
    at = clock.now()
    row = UploadRow(
        id=ids.new_id("upload"),
        project_id=project,
        created_at=at,
        filename=body.filename,
        purpose=body.purpose,
        mime_type=body.mime_type,
        bytes=body.bytes,
        status="pending",
        expires_at=at + LIFETIME_SECONDS,
        expires_after_seconds=None if body.expires_after is None else body.expires_after.seconds,
    )
    session.add(row)
    session.flush()
    return _to_wire(session, row)


def check_pending(session: Session, project: str, upload_id: str) -> None:
    """Raises ResourceNotFound, and InvalidRequest when the upload takes no changes any more."""
    _pending(session, project, upload_id)


def add_part(session: Session, project: str, upload_id: str, blob: Blob) -> UploadPart:
    """Raises as ``check_pending`` does."""
    _pending(session, project, upload_id)
    row = UploadPartRow(
        id=ids.new_id("part"),
        project_id=project,
        created_at=clock.now(),
        upload_id=upload_id,
        sha256=blob.sha256,
        bytes=blob.size_bytes,
    )
    session.add(row)
    session.flush()
    return UploadPart(id=row.id, created_at=row.created_at, upload_id=upload_id)


def pending(
    session: Session, project: str, upload_id: str, part_ids: Sequence[str]
) -> PendingUpload:
    """The upload with these parts. Raises as ``check_pending`` does, and ResourceNotFound for a
    part that is not the upload's."""
    row = _pending(session, project, upload_id)
    known = {
        part.id: Blob(part.sha256, part.bytes)
        for part in session.scalars(
            select(UploadPartRow).where(UploadPartRow.upload_id == upload_id)
        )
    }
    for part_id in part_ids:
        if part_id not in known:
            raise ResourceNotFound(MISSING.format(id=part_id), param="id")
    return PendingUpload(row.bytes, tuple(known[part_id] for part_id in part_ids))


def complete(session: Session, project: str, upload_id: str, blob: Blob) -> Upload:
    """Make the file that the upload was for. Raises as ``check_pending`` does."""
    row = _pending(session, project, upload_id)
    file = files.insert(
        session,
        project,
        filename=row.filename,
        purpose=row.purpose,
        blob=blob,
        expires_after=row.expires_after_seconds,
    )
    row.status, row.file_id = "completed", file.id
    session.flush()
    return _to_wire(session, row)


def cancel(session: Session, project: str, upload_id: str) -> Upload:
    """Raises as ``check_pending`` does."""
    row = _pending(session, project, upload_id)
    row.status = "cancelled"
    session.flush()
    return _to_wire(session, row)


def drop_parts(session: Session, upload_id: str) -> list[str]:
    """Forget the parts of an upload that has ended; returns the SHA-256 sums of contents that
    nothing names any more."""
    owned = UploadPartRow.upload_id == upload_id
    sums = set(session.scalars(select(UploadPartRow.sha256).where(owned)))
    session.execute(delete(UploadPartRow).where(owned))
    return sorted(sha256 for sha256 in sums if not files.is_recorded(session, sha256))


def expire(session: Session) -> int:
    """End pending uploads whose time is over, and forget the parts of all that have ended; returns
    how many uploads expired."""
    overdue = session.scalars(
        select(UploadRow).where(UploadRow.status == "pending", UploadRow.expires_at <= clock.now())
    ).all()
    for row in overdue:
        row.status = "expired"
    session.flush()
    ended = select(UploadRow.id).where(UploadRow.status != "pending")
    session.execute(delete(UploadPartRow).where(UploadPartRow.upload_id.in_(ended)))
    return len(overdue)


def _pending(session: Session, project: str, upload_id: str) -> UploadRow:
    row = session.scalar(
        select(UploadRow)
        .where(UploadRow.id == upload_id, UploadRow.project_id == project)
        .with_for_update()
    )
    if row is None:
        raise ResourceNotFound(MISSING.format(id=upload_id), param="id")
    status = _status(row)
    if status != "pending":
        raise InvalidRequest(f"Upload {upload_id} has status '{status}' and cannot be modified.")
    return row


def _status(row: UploadRow) -> str:
    is_overdue = row.status == "pending" and row.expires_at <= clock.now()
    return "expired" if is_overdue else row.status


def _to_wire(session: Session, row: UploadRow) -> Upload:
    file = None
    if row.file_id is not None:
        file = session.scalar(select(FileRow).where(FileRow.id == row.file_id))
    return Upload.model_validate(
        {
            "id": row.id,
            "bytes": row.bytes,
            "created_at": row.created_at,
            "expires_at": row.expires_at,
            "filename": row.filename,
            "purpose": row.purpose,
            "status": _status(row),
            "file": None if file is None else files.to_wire(file),
        }
    )
