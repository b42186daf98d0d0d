"""Files in the folder of a thread's code, given to it or written by it, and whether any ran."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy import delete as delete_rows

from localassist import clock
from localassist.storage.blobs import NO_CONTENT, Blob
from localassist.storage.database import Session, in_portions
from localassist.storage.tables import CodeFileRow, FileRow, ItemRow, ThreadRow


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file and where its bytes are. ``age`` orders files by when they were made."""

    id: str
    filename: str
    blob: Blob
    created_at: int
    age: int


def given(session: Session, project: str, file_ids: Iterable[str]) -> list[StoredFile]:
    """Those of the files that are there and have not expired, in the order given."""
    wanted = list(dict.fromkeys(file_ids))
    found: dict[str, StoredFile] = {}
    for portion in in_portions(wanted):
        rows = session.scalars(
            select(FileRow).where(
                FileRow.id.in_(portion), FileRow.project_id == project, _is_alive()
            )
        )
        found.update((row.id, _stored(row)) for row in rows)
    return [found[file_id] for file_id in wanted if file_id in found]


def written(session: Session, project: str, thread_id: str) -> dict[str, StoredFile]:
    """What code of the thread has written, the newest by path below ``/mnt/data``."""
    rows = session.execute(
        select(CodeFileRow.path, FileRow)
        .join(FileRow, FileRow.id == CodeFileRow.file_id)
        .where(CodeFileRow.thread_id == thread_id, FileRow.project_id == project, _is_alive())
        .order_by(CodeFileRow.path)
    )
    return {path: _stored(row) for path, row in rows}


def record(session: Session, thread_id: str, files: Mapping[str, str]) -> None:
    """Files by path that code of the thread has just written. Nothing when the thread is gone."""
    thread = select(ThreadRow.id).where(ThreadRow.id == thread_id).with_for_update()
    if session.scalar(thread) is None:
        return
    forget(session, thread_id, files)
    session.add_all(
        CodeFileRow(thread_id=thread_id, path=path, file_id=file_id)
        for path, file_id in files.items()
    )
    session.flush()


def forget(session: Session, thread_id: str, paths: Iterable[str]) -> None:
    """Paths that code has removed from its folder; their files stay."""
    for portion in in_portions(paths):
        session.execute(
            delete_rows(CodeFileRow).where(
                CodeFileRow.thread_id == thread_id, CodeFileRow.path.in_(portion)
            )
        )


def has_run(session: Session, thread_id: str) -> bool:
    """Code of the thread has come to an end before, in whatever process."""
    tool = ItemRow.payload["built_in"].as_string()
    ran = select(ItemRow.seq).where(
        ItemRow.thread_id == thread_id, ItemRow.kind == "output", tool == "code_interpreter"
    )
    return session.scalar(ran.limit(1)) is not None


def _is_alive() -> ColumnElement[bool]:
    has_not_expired = or_(FileRow.expires_at.is_(None), FileRow.expires_at > clock.now())
    return and_(has_not_expired, FileRow.sha256 != NO_CONTENT)


def _stored(row: FileRow) -> StoredFile:
    return StoredFile(row.id, row.filename, Blob(row.sha256, row.bytes), row.created_at, row.seq)
