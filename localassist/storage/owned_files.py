"""The lists of files that assistants and messages have in version 1 of the API.

The lists are columns of their owners. They are in the order in which the files were made; when one
was added is not kept, so it is said to be as old as it can be.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from localassist.errors import ResourceNotFound
from localassist.schemas.assistants import Assistant
from localassist.schemas.base import ListQuery, Page
from localassist.schemas.messages import Message
from localassist.schemas.v1_files import AssistantFile, MessageFile
from localassist.storage.database import Session
from localassist.storage.pagination import keep_key, page_rows
from localassist.storage.tables import FileRow

_KINDS = {"assistant": "assistant", "thread.message": "message"}
Owner = Assistant | Message


def get_of_assistant(
    session: Session, project: str, owner: Assistant, file_id: str
) -> AssistantFile:
    """Raises ResourceNotFound."""
    return _assistant_file(owner, _find(session, project, owner, file_id))


def list_of_assistant(
    session: Session, project: str, owner: Assistant, query: ListQuery
) -> Page[AssistantFile]:
    rows, has_more = _page(session, project, owner, query)
    return Page.of([_assistant_file(owner, row) for row in rows], has_more=has_more)


def get_of_message(session: Session, project: str, owner: Message, file_id: str) -> MessageFile:
    """Raises ResourceNotFound."""
    return _message_file(owner, _find(session, project, owner, file_id))


def list_of_message(
    session: Session, project: str, owner: Message, query: ListQuery
) -> Page[MessageFile]:
    rows, has_more = _page(session, project, owner, query)
    return Page.of([_message_file(owner, row) for row in rows], has_more=has_more)


def keep_cursor(session: Session, assistant_id: str, file_id: str) -> None:
    """Let the id of a file that leaves the assistant's list stay a cursor of it."""
    row = session.scalar(select(FileRow).where(FileRow.id == file_id))
    if row is not None:
        tombstone_id = _tombstone_id(assistant_id, file_id)
        keep_key(session, tombstone_id, row, parent_id=assistant_id)


def _page(
    session: Session, project: str, owner: Owner, query: ListQuery
) -> tuple[Sequence[FileRow], bool]:
    return page_rows(
        session,
        FileRow,
        project,
        [FileRow.id.in_(owner.file_ids)],
        query,
        parent_id=owner.id,
        missing=_missing(owner),
        tombstone_id=lambda file_id: _tombstone_id(owner.id, file_id),
    )


def _find(session: Session, project: str, owner: Owner, file_id: str) -> FileRow:
    row = None
    if file_id in owner.file_ids:
        row = session.scalar(
            select(FileRow).where(FileRow.id == file_id, FileRow.project_id == project)
        )
    if row is None:
        raise ResourceNotFound(_missing(owner).format(id=file_id))
    return row


def _assistant_file(owner: Assistant, row: FileRow) -> AssistantFile:
    at = max(row.created_at, owner.created_at)
    return AssistantFile(id=row.id, created_at=at, assistant_id=owner.id)


def _message_file(owner: Message, row: FileRow) -> MessageFile:
    at = max(row.created_at, owner.created_at)
    return MessageFile(id=row.id, created_at=at, message_id=owner.id)


def _missing(owner: Owner) -> str:
    return f"No file found with id '{{id}}' in {_KINDS[owner.object]} '{owner.id}'."


def _tombstone_id(owner_id: str, file_id: str) -> str:
    return f"{owner_id}/{file_id}"
