"""Writes what was planned, inside of one transaction. Contents are in the blob store already."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from localassist.archive.gathering import Gathered
from localassist.archive.planning import Plan
from localassist.schemas.assistants import Assistant
from localassist.services.attachments import THREAD_STORE_DAYS, Attachments, with_code_files
from localassist.services.owned_files import share_files
from localassist.storage import assistants, imports, threads
from localassist.storage.blobs import NO_CONTENT, Blob
from localassist.storage.database import Session
from localassist.storage.imports import Talk


def apply(
    session: Session,
    project: str,
    plan: Plan,
    gathered: Gathered,
    blobs: Mapping[str, Blob],
    attachments: Attachments,
    embedder_id: Callable[[], str],
    check: Callable[[int, int], None],
) -> None:
    """``blobs`` are contents by file id. ``check`` is told how far it is and may raise, which
    undoes everything. Assistants and threads that do not say what their tools read, as those of
    version 1, have their files given to them."""
    total = len(plan.files) + len(plan.stores) + len(plan.assistants) + len(plan.threads)
    steps = iter(range(total))

    def step() -> None:
        check(next(steps), total)

    for file in plan.files:
        step()
        blob = blobs.get(file.id)
        if blob is not None:
            file = file.model_copy(update={"bytes": blob.size_bytes})
        imports.put_file(session, project, file, NO_CONTENT if blob is None else blob.sha256)
    for store, members in plan.stores:
        step()
        unreadable = imports.without_content(session, [file.id for file in members])
        imports.put_store(
            session, project, store, members, embedder_id=embedder_id(), unreadable=unreadable
        )
        attachments.wake_after(session)
    for assistant in plan.assistants:
        step()
        _put_assistant(session, project, assistant, attachments)
    for thread_id in plan.threads:
        step()
        talk = gathered.talk(thread_id, plan.present)
        imports.put_talk(session, project, talk)
        if not talk.thread.tool_resources.dump():
            _share_attached(session, project, talk, attachments)
    check(total, total)


def _put_assistant(
    session: Session,
    project: str,
    assistant: Assistant,
    attachments: Attachments,
) -> None:
    """With ``file_ids`` only of version 1, what they name is what its tools read."""
    imports.put_assistant(session, project, assistant)
    if not assistant.file_ids or assistant.tool_resources.dump():
        return
    readable = _readable(session, project, assistant.file_ids)
    shown = assistant.model_copy(
        update={"file_ids": attachments.searchable(session, project, readable)}
    )
    share_files(session, project, None, shown, attachments)
    tools = {tool.type for tool in assistant.tools}
    if "code_interpreter" in tools and readable:
        resources = assistants.get(session, project, assistant.id).tool_resources.dump()
        change = with_code_files(resources, readable)
        assistants.update(session, project, assistant.id, {"tool_resources": change})


def _share_attached(session: Session, project: str, talk: Talk, attachments: Attachments) -> None:
    """Let the thread's tools read what its messages have attached."""
    to_search: list[str] = []
    for_code: list[str] = []
    for message in talk.messages:
        to_search += message.file_ids
        for_code += message.file_ids
        for attached in message.attachments:
            tools = {tool.type for tool in attached.tools}
            to_search += [attached.file_id] if "file_search" in tools else []
            for_code += [attached.file_id] if "code_interpreter" in tools else []
    if not (to_search or for_code):
        return
    for_code = _readable(session, project, for_code)
    to_search = attachments.searchable(session, project, _readable(session, project, to_search))
    change: dict[str, Any] = {}
    if for_code:
        change |= with_code_files({}, for_code)
    if to_search:
        change |= attachments.with_search_files(
            session, project, {}, to_search, expires_after_days=THREAD_STORE_DAYS
        )
    if change:
        threads.update(session, project, talk.thread.id, {"tool_resources": change})


def _readable(session: Session, project: str, file_ids: Collection[str]) -> list[str]:
    """Those of the files that are here with their content, each once."""
    there = imports.holders(session, "file", file_ids)
    lost = imports.without_content(session, file_ids)
    return [
        file_id
        for file_id in dict.fromkeys(file_ids)
        if file_id in there and there[file_id].project == project and file_id not in lost
    ]
