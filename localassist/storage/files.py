"""Files: rows in, wire objects out. The bytes are in ``blobs``."""

from __future__ import annotations

from sqlalchemy import exists, select

from localassist import clock, ids
from localassist.errors import ResourceNotFound
from localassist.schemas.base import ListQuery, Page
from localassist.schemas.files import File
from localassist.storage.blobs import Blob
from localassist.storage.database import Session
from localassist.storage.pagination import bury, page
from localassist.storage.tables import FileRow

MISSING = "No such File object: {id}"


def insert(
    session: Session,
    project: str,
    *,
    filename: str,
    purpose: str,
    blob: Blob,
    expires_after: int | None,
) -> File:
    at = clock.now()
    row = FileRow(
        id=ids.new_id("file"),
        project_id=project,
        created_at=at,
        filename=filename,
        bytes=blob.size_bytes,
        purpose=purpose,
        sha256=blob.sha256,
        expires_at=None if expires_after is None else at + expires_after,
    )
    session.add(row)
    session.flush()
    return to_wire(row)


def get(session: Session, project: str, file_id: str) -> tuple[File, Blob]:
    """The file and where its bytes are. Raises ResourceNotFound, also once it has expired."""
    row = _row(session, project, file_id)
    return to_wire(row), Blob(row.sha256, row.bytes)


def delete(session: Session, project: str, file_id: str) -> str | None:
    """Raises ResourceNotFound. Returns the SHA-256 of a content that no file names any more."""
    row = _row(session, project, file_id)
    bury(session, row, parent_id=None)
    return None if is_recorded(session, row.sha256) else row.sha256


def delete_expired(session: Session) -> int:
    """Remove files past their expiry; returns how many."""
    rows = list(session.scalars(select(FileRow).where(FileRow.expires_at <= clock.now())))
    for row in rows:
        bury(session, row, parent_id=None)
    return len(rows)


def is_recorded(session: Session, sha256: str) -> bool:
    """Whether any file has this content."""
    return bool(session.scalar(select(exists().where(FileRow.sha256 == sha256))))


def list_page(session: Session, project: str, query: ListQuery, purpose: str | None) -> Page[File]:
    scope = [FileRow.project_id == project]
    if purpose is not None:
        scope.append(FileRow.purpose == purpose)
    return page(session, FileRow, scope, query, to_wire, parent_id=None, missing=MISSING)


def _row(session: Session, project: str, file_id: str) -> FileRow:
    row = session.scalar(
        select(FileRow).where(FileRow.id == file_id, FileRow.project_id == project)
    )
    if row is None or (row.expires_at is not None and row.expires_at <= clock.now()):
        raise ResourceNotFound(MISSING.format(id=file_id), param="id")
    return row


def to_wire(row: FileRow) -> File:
    return File.model_validate(
        {
            "id": row.id,
            "created_at": row.created_at,
            "bytes": row.bytes,
            "filename": row.filename,
            "purpose": row.purpose,
            "status": "processed",
            "expires_at": row.expires_at,
        }
    )


def recorded_contents(session: Session) -> set[str]:
    """The SHA-256 sums of all contents that a file has."""
    return set(session.scalars(select(FileRow.sha256).distinct()))
