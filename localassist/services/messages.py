"""Messages: create, look, annotate, delete."""

from __future__ import annotations

from typing import Any

from localassist.errors import InvalidRequest
from localassist.schemas.base import Deleted, ListQuery, Page
from localassist.schemas.messages import (
    ImageFilePart,
    Message,
    MessageCreate,
    MessageUpdate,
    normalise_content,
)
from localassist.services.attachments import Attachments
from localassist.services.tools import check_files
from localassist.storage import messages, threads
from localassist.storage.database import Database, Session


class Messages:
    """``/threads/{id}/messages``."""

    def __init__(self, database: Database, attachments: Attachments) -> None:
        self._database = database
        self._attachments = attachments

    async def create(self, project: str, thread_id: str, body: MessageCreate) -> Message:
        """Raises ResourceNotFound, and InvalidRequest while a run is active on the thread."""

        def change(session: Session) -> Message:
            active = threads.lock(session, project, thread_id)
            if active is not None:
                raise InvalidRequest(
                    f"Can't add messages to {thread_id} while a run {active} is active."
                )
            return insert_message(session, project, thread_id, body, self._attachments)

        return await self._database.write(change)

    async def retrieve(self, project: str, thread_id: str, message_id: str) -> Message:
        return await self._database.read(
            lambda session: messages.get(session, project, thread_id, message_id)
        )

    async def list(
        self, project: str, thread_id: str, query: ListQuery, run_id: str | None = None
    ) -> Page[Message]:
        """Raises ResourceNotFound for the thread. ``run_id`` keeps what that run produced."""

        def load(session: Session) -> Page[Message]:
            threads.get(session, project, thread_id)
            return messages.list_page(session, project, thread_id, query, run_id)

        return await self._database.read(load)

    async def update(
        self, project: str, thread_id: str, message_id: str, body: MessageUpdate
    ) -> Message:
        def change(session: Session) -> Message:
            if "metadata" not in body.model_fields_set:
                return messages.get(session, project, thread_id, message_id)
            return messages.update(session, project, thread_id, message_id, body.metadata)

        return await self._database.write(change)

    async def delete(self, project: str, thread_id: str, message_id: str) -> Deleted:
        await self._database.write(
            lambda session: messages.delete(session, project, thread_id, message_id)
        )
        return Deleted(id=message_id, object="thread.message.deleted")


def insert_message(
    session: Session,
    project: str,
    thread_id: str,
    body: MessageCreate,
    attachments: Attachments,
) -> Message:
    """Store a message of the caller's on a thread whose lock is held, and its files with it. Raises
    InvalidRequest for files that are not there."""
    content = normalise_content(body.content)
    images = [part.image_file.file_id for part in content if isinstance(part, ImageFilePart)]
    check_files(session, project, images, "content")
    attachments.attach_message(session, project, thread_id, body)
    fields: dict[str, Any] = {
        "role": body.role,
        "content": [part.dump() for part in content],
        "attachments": [attachment.dump() for attachment in body.attachments or []],
        "file_ids": body.file_ids,
        "metadata": body.metadata,
    }
    return messages.insert(session, project, thread_id, fields)
