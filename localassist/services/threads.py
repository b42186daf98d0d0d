"""Threads: create, look, change, delete."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from localassist.schemas.base import Deleted, ListQuery, Page
from localassist.schemas.threads import Thread, ThreadCreate, ThreadUpdate
from localassist.services.attachments import THREAD_STORE_DAYS, Attachments
from localassist.services.messages import insert_message
from localassist.storage import threads
from localassist.storage.database import Database, Session


class Threads:
    """``/threads``. ``on_deleted`` is told which thread has gone, with its active runs."""

    def __init__(
        self,
        database: Database,
        attachments: Attachments,
        on_deleted: Callable[[str, list[str]], Awaitable[None]],
    ) -> None:
        self._database = database
        self._attachments = attachments
        self._on_deleted = on_deleted

    async def create(self, project: str, body: ThreadCreate) -> Thread:
        return await self._database.write(
            lambda session: create_thread(session, project, body, self._attachments)
        )

    async def retrieve(self, project: str, thread_id: str) -> Thread:
        return await self._database.read(lambda session: threads.get(session, project, thread_id))

    async def list(self, project: str, query: ListQuery) -> Page[Thread]:
        return await self._database.read(lambda session: threads.list_page(session, project, query))

    async def update(self, project: str, thread_id: str, body: ThreadUpdate) -> Thread:
        def change(session: Session) -> Thread:
            fields = {}
            if "metadata" in body.model_fields_set:
                fields["metadata"] = body.metadata
            if "tool_resources" in body.model_fields_set:
                given = body.tool_resources
                fields["tool_resources"] = (
                    None if given is None else self._attachments.resources(session, project, given)
                )
            return threads.update(session, project, thread_id, fields)

        return await self._database.write(change)

    async def delete(self, project: str, thread_id: str) -> Deleted:
        """Delete the thread with all that belongs to it; a run that is active on it is stopped."""

        def change(session: Session) -> list[str]:
            active = threads.lock(session, project, thread_id)
            threads.delete(session, project, thread_id)
            return [] if active is None else [active]

        await self._on_deleted(thread_id, await self._database.write(change))
        return Deleted(id=thread_id, object="thread.deleted")


def create_thread(
    session: Session, project: str, body: ThreadCreate | None, attachments: Attachments
) -> Thread:
    """Store a thread and its first messages."""
    body = ThreadCreate() if body is None else body
    resources = attachments.resources(
        session, project, body.tool_resources, expires_after_days=THREAD_STORE_DAYS
    )
    thread = threads.insert(
        session, project, {"metadata": body.metadata, "tool_resources": resources}
    )
    for message in body.messages:
        insert_message(session, project, thread.id, message, attachments)
    return threads.get(session, project, thread.id)
