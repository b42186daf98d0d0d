"""``file_ids`` of version 1, as what the tools of today read.

What is written there shows in ``tool_resources``; changes of ``tool_resources`` do not show there.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from localassist.errors import ResourceNotFound
from localassist.schemas import phrases
from localassist.schemas.assistants import MAX_ASSISTANT_FILES, Assistant
from localassist.schemas.base import Deleted, ListQuery, Page
from localassist.schemas.v1_files import AssistantFile, AssistantFileCreate, MessageFile
from localassist.services.attachments import Attachments, with_code_files
from localassist.storage import (
    assistants,
    files,
    messages,
    owned_files,
    store_files,
    vector_stores,
)
from localassist.storage.database import Database, Session


class OwnedFiles:
    """``/assistants/{id}/files`` and ``/threads/{id}/messages/{id}/files``."""

    def __init__(self, database: Database, attachments: Attachments) -> None:
        self._database = database
        self._attachments = attachments

    async def add(
        self, project: str, assistant_id: str, body: AssistantFileCreate
    ) -> AssistantFile:
        """Raises ResourceNotFound, and InvalidRequest for a file that the assistant's tools cannot
        read or that is one too many."""

        def change(session: Session) -> AssistantFile:
            before = assistants.get(session, project, assistant_id, for_update=True)
            if body.file_id not in files.names(session, project, [body.file_id]):
                raise ResourceNotFound(files.MISSING.format(id=body.file_id), param="file_id")
            file_ids = list(dict.fromkeys([*before.file_ids, body.file_id]))
            if len(file_ids) > MAX_ASSISTANT_FILES:
                raise phrases.array_too_long("file_ids", MAX_ASSISTANT_FILES, len(file_ids))
            changed = self._update(session, project, before, file_ids)
            return owned_files.get_of_assistant(session, project, changed, body.file_id)

        return await self._database.write(change)

    async def list_of_assistant(
        self, project: str, assistant_id: str, query: ListQuery
    ) -> Page[AssistantFile]:
        def load(session: Session) -> Page[AssistantFile]:
            owner = assistants.get(session, project, assistant_id)
            return owned_files.list_of_assistant(session, project, owner, query)

        return await self._database.read(load)

    async def retrieve_of_assistant(
        self, project: str, assistant_id: str, file_id: str
    ) -> AssistantFile:
        def load(session: Session) -> AssistantFile:
            owner = assistants.get(session, project, assistant_id)
            return owned_files.get_of_assistant(session, project, owner, file_id)

        return await self._database.read(load)

    async def remove(self, project: str, assistant_id: str, file_id: str) -> Deleted:
        """Take a file from an assistant; the file itself stays."""

        def change(session: Session) -> None:
            before = assistants.get(session, project, assistant_id, for_update=True)
            owned_files.get_of_assistant(session, project, before, file_id)
            kept = [other for other in before.file_ids if other != file_id]
            self._update(session, project, before, kept)

        await self._database.write(change)
        return Deleted(id=file_id, object="assistant.file.deleted")

    async def list_of_message(
        self, project: str, thread_id: str, message_id: str, query: ListQuery
    ) -> Page[MessageFile]:
        def load(session: Session) -> Page[MessageFile]:
            owner = messages.get(session, project, thread_id, message_id)
            return owned_files.list_of_message(session, project, owner, query)

        return await self._database.read(load)

    async def retrieve_of_message(
        self, project: str, thread_id: str, message_id: str, file_id: str
    ) -> MessageFile:
        def load(session: Session) -> MessageFile:
            owner = messages.get(session, project, thread_id, message_id)
            return owned_files.get_of_message(session, project, owner, file_id)

        return await self._database.read(load)

    def _update(
        self, session: Session, project: str, before: Assistant, file_ids: list[str]
    ) -> Assistant:
        changed = assistants.update(session, project, before.id, {"file_ids": file_ids})
        return share_files(session, project, before, changed, self._attachments)


def share_files(
    session: Session,
    project: str,
    before: Assistant | None,
    after: Assistant,
    attachments: Attachments,
) -> Assistant:
    """The assistant with its tools reading what has come into its ``file_ids`` since ``before``,
    and no longer what has gone from there.

    Raises InvalidRequest for a file that cannot be searched, unless another tool reads it.
    """
    had_files = [] if before is None else before.file_ids
    had_tools = set() if before is None else {tool.type for tool in before.tools}
    tools = {tool.type for tool in after.tools}
    resources = after.tool_resources.dump()
    removed = [file_id for file_id in had_files if file_id not in after.file_ids]
    change = _without(session, after.id, resources, removed, attachments)

    def new_for(tool: str) -> list[str]:
        known = had_files if tool in had_tools else []
        return [file_id for file_id in after.file_ids if file_id not in known]

    if "code_interpreter" in tools and (added := new_for("code_interpreter")):
        change |= with_code_files(resources | change, added)
    if "file_search" in tools and (added := new_for("file_search")):
        if "code_interpreter" in tools:
            added = attachments.searchable(session, project, added)
        if added:
            change |= attachments.with_search_files(
                session, project, resources, added, expires_after_days=None
            )
    if not change:
        return after
    return assistants.update(session, project, after.id, {"tool_resources": change})


def _without(
    session: Session,
    assistant_id: str,
    resources: dict[str, Any],
    file_ids: Collection[str],
    attachments: Attachments,
) -> dict[str, Any]:
    """Take files out of the assistant's stores; the change to its tool resources that takes them
    from the code interpreter, too."""
    for file_id in file_ids:
        owned_files.keep_cursor(session, assistant_id, file_id)
        store_files.discard(session, file_id, vector_stores.attached_ids(resources))
    if file_ids:
        attachments.wake_after(session)
    code = resources.get("code_interpreter")
    if code is None or not set(code["file_ids"]) & set(file_ids):
        return {}
    kept = [file_id for file_id in code["file_ids"] if file_id not in file_ids]
    return {"code_interpreter": {"file_ids": kept}}
