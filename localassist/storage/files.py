"""Files: rows in, wire objects out. The bytes are in ``blobs``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from sqlalchemy import String, cast, exists, or_, select, union
from sqlalchemy.orm import InstrumentedAttribute

from localassist import clock, ids
from localassist.errors import ResourceNotFound
from localassist.schemas.base import ListQuery, Page
from localassist.schemas.files import File
from localassist.storage import owned_files, store_files
from localassist.storage.blobs import NO_CONTENT, Blob
from localassist.storage.database import Session, in_portions
from localassist.storage.pagination import bury, page
from localassist.storage.tables import AssistantRow, FileRow, ThreadRow, UploadPartRow

Holder = TypeVar("Holder", AssistantRow, ThreadRow)

MISSING = "No such File object: {id}"
_NOT_HERE = "The content was not there when the file was imported."


def insert(
    session: Session,
    project: str,
    *,
    filename: str,
    purpose: str,
    blob: Blob,
    expires_after: int | None,
    file_id: str | None = None,
) -> File:
    """Store a file. ``file_id`` is given where its name is made of it."""
    at = clock.now()
    row = FileRow(
        id=ids.new_id("file") if file_id is None else file_id,
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


def blob_of(session: Session, file_id: str) -> Blob | None:
    """Where the bytes of a file are, whatever its project and its expiry; None when it is gone."""
    row = session.scalar(select(FileRow).where(FileRow.id == file_id))
    return None if row is None else Blob(row.sha256, row.bytes)


def names(session: Session, project: str, file_ids: Iterable[str]) -> dict[str, str]:
    """File names by id, of those files that are there and have not expired."""
    is_alive = or_(FileRow.expires_at.is_(None), FileRow.expires_at > clock.now())
    found: dict[str, str] = {}
    for portion in in_portions(file_ids):
        rows = session.execute(
            select(FileRow.id, FileRow.filename).where(
                FileRow.id.in_(portion), FileRow.project_id == project, is_alive
            )
        )
        found.update((file_id, filename) for file_id, filename in rows)
    return found


def delete(session: Session, project: str, file_id: str) -> str | None:
    """Raises ResourceNotFound. Returns the SHA-256 of a content that no file names any more."""
    row = _row(session, project, file_id)
    _unlink(session, file_id)
    bury(session, row, parent_id=None)
    return None if is_recorded(session, row.sha256) else row.sha256


def delete_expired(session: Session) -> int:
    """Remove files past their expiry; returns how many."""
    rows = list(session.scalars(select(FileRow).where(FileRow.expires_at <= clock.now())))
    for row in rows:
        _unlink(session, row.id)
        bury(session, row, parent_id=None)
    return len(rows)


def _unlink(session: Session, file_id: str) -> None:
    """Take the file out of the lists of assistants and threads, and out of the vector stores. In
    this order: whoever attaches a file holds its assistant or thread before the store."""
    for assistant in _mentioning(session, AssistantRow, AssistantRow.tool_resources, file_id):
        assistant.tool_resources = _without(assistant.tool_resources, file_id)
    for assistant in _mentioning(session, AssistantRow, AssistantRow.file_ids, file_id):
        owned_files.keep_cursor(session, assistant.id, file_id)
        assistant.file_ids = [other for other in assistant.file_ids if other != file_id]
    for thread in _mentioning(session, ThreadRow, ThreadRow.tool_resources, file_id):
        thread.tool_resources = _without(thread.tool_resources, file_id)
    store_files.discard(session, file_id)


def _mentioning(
    session: Session, table: type[Holder], column: InstrumentedAttribute[Any], file_id: str
) -> list[Holder]:
    """Rows whose JSON column has the id in it. File ids are random: only the file's own project
    can know it."""
    named = cast(column, String).contains(file_id)
    return list(session.scalars(select(table).where(named).with_for_update()))


def _without(resources: dict[str, Any], file_id: str) -> dict[str, Any]:
    code = resources["code_interpreter"]
    kept = [other for other in code["file_ids"] if other != file_id]
    return {**resources, "code_interpreter": {**code, "file_ids": kept}}


def is_recorded(session: Session, sha256: str) -> bool:
    """Whether any file or part of an upload has this content."""
    by_file = exists().where(FileRow.sha256 == sha256)
    by_part = exists().where(UploadPartRow.sha256 == sha256)
    return bool(session.scalar(select(or_(by_file, by_part))))


def list_page(session: Session, project: str, query: ListQuery, purpose: str | None) -> Page[File]:
    wanted = [] if purpose is None else [FileRow.purpose == purpose]
    return page(session, FileRow, project, wanted, query, to_wire, parent_id=None, missing=MISSING)


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
            "status": "error" if row.sha256 == NO_CONTENT else "processed",
            "status_details": _NOT_HERE if row.sha256 == NO_CONTENT else None,
            "expires_at": row.expires_at,
        }
    )


def recorded_contents(session: Session) -> set[str]:
    """The SHA-256 sums of all contents that a file or a part of an upload has."""
    return set(session.scalars(union(select(FileRow.sha256), select(UploadPartRow.sha256))))
