"""Files that come with assistants, threads and messages, into vector stores.

Works inside of other services' transactions. Whatever is put into a store is queued for ingest,
which is woken by the commit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from localassist.errors import InvalidRequest, ResourceNotFound
from localassist.schemas.messages import MessageCreate
from localassist.schemas.tools import ChunkingStrategy, ToolResources, ToolResourcesCreate
from localassist.schemas.vector_stores import StoreFileCreate
from localassist.services.tools import check_files
from localassist.storage import files, store_files, threads, vector_stores
from localassist.storage.database import Session, after_commit

THREAD_STORE_DAYS = 7
"""How long the store of a thread outlives its last use, unless the caller made it."""

_CODE_FILES = "tool_resources.code_interpreter.file_ids"
_NEW_STORE_FILES = "tool_resources.file_search.vector_stores[0].file_ids"


class Attachments:
    """``default_embedder`` names the embedding model of new stores, ``is_supported`` tells by a
    file's name whether it can be searched, ``wake`` tells ingest that there is work."""

    def __init__(
        self,
        default_embedder: Callable[[], str],
        is_supported: Callable[[str], bool],
        wake: Callable[[], None],
    ) -> None:
        self._default_embedder = default_embedder
        self._is_supported = is_supported
        self._wake = wake

    # -- stores -----------------------------------------------------------------------------------

    def new_store(self, session: Session, project: str, **fields: Any) -> str:
        """Make an empty store and return its id; ``fields`` as for ``vector_stores.insert``."""
        embedder_id = self._default_embedder()
        return vector_stores.insert(session, project, embedder_id=embedder_id, **fields)

    def add(
        self,
        session: Session,
        project: str,
        store_id: str,
        entries: Sequence[StoreFileCreate],
        param: str,
        *,
        missing: type[InvalidRequest] | type[ResourceNotFound] = ResourceNotFound,
    ) -> None:
        """Put files into a store. Raises ResourceNotFound when there is no such store,
        InvalidRequest when it has expired or a file cannot be searched, ``missing`` when a file is
        not there; ``param`` names the field the ids came in."""
        vector_stores.usable(session, project, store_id)
        if not entries:
            return
        names = files.names(session, project, {entry.file_id for entry in entries})
        for entry in entries:
            if entry.file_id not in names:
                raise missing(files.MISSING.format(id=entry.file_id), param=param)
        self._check_supported(names.values(), param)
        store_files.attach(session, project, store_id, entries)
        self.wake_after(session)

    def wake_after(self, session: Session) -> None:
        """Have ingest look for work once the transaction has been committed."""
        after_commit(session, self._wake)

    # -- tool resources ---------------------------------------------------------------------------

    def resources(
        self,
        session: Session,
        project: str,
        given: ToolResources | ToolResourcesCreate | None,
        *,
        expires_after_days: int | None = None,
    ) -> dict[str, Any]:
        """Tool resources as stored, with the vector store made that they ask for.

        ``expires_after_days`` is for that store. Raises InvalidRequest for files and
        ResourceNotFound for vector stores that are not there.
        """
        if given is None:
            return {}
        if given.code_interpreter is not None:
            check_files(session, project, given.code_interpreter.file_ids, _CODE_FILES)
        if given.file_search is not None:
            for store_id in given.file_search.vector_store_ids or []:
                vector_stores.find(session, project, store_id)
        if not isinstance(given, ToolResourcesCreate):
            return given.dump()
        stored = given.stored().dump()
        for wanted in given.new_stores:
            store_id = self.new_store(
                session, project, metadata=wanted.metadata, expires_after_days=expires_after_days
            )
            entries = _entries(wanted.file_ids, wanted.chunking_strategy)
            self.add(session, project, store_id, entries, _NEW_STORE_FILES, missing=InvalidRequest)
            stored["file_search"] = {"vector_store_ids": [store_id]}
        return stored

    # -- messages ---------------------------------------------------------------------------------

    def attach_message(
        self, session: Session, project: str, thread_id: str, body: MessageCreate
    ) -> None:
        """Make a message's files the thread's: those for search go into its store, which is made
        where there is none, those for the code interpreter into its list.

        Version 1 does not say what a file is for: it is for everything that can read it.
        """
        attachments = body.attachments or []
        check_files(session, project, (a.file_id for a in attachments), "attachments")
        check_files(session, project, body.file_ids, "file_ids")
        wanted: dict[str, list[str]] = {"file_search": [], "code_interpreter": []}
        for attachment in attachments:
            for tool in attachment.tools:
                wanted[tool.type].append(attachment.file_id)
        names = files.names(session, project, wanted["file_search"])
        self._check_supported(names.values(), "attachments")
        to_search = wanted["file_search"] + self.searchable(session, project, body.file_ids)
        for_code = wanted["code_interpreter"] + body.file_ids
        if not to_search and not for_code:
            return
        resources = threads.get(session, project, thread_id).tool_resources.dump()
        change: dict[str, Any] = {}
        if for_code:
            change |= with_code_files(resources, for_code)
        if to_search:
            change |= self.with_search_files(
                session, project, resources, to_search, expires_after_days=THREAD_STORE_DAYS
            )
        threads.update(session, project, thread_id, {"tool_resources": change})

    def with_search_files(
        self,
        session: Session,
        project: str,
        resources: Mapping[str, Any],
        file_ids: Iterable[str],
        *,
        expires_after_days: int | None,
    ) -> dict[str, Any]:
        """The ``file_search`` part of tool resources, with the files in its store. Raises
        InvalidRequest when that store has expired."""
        attached = vector_stores.attached_ids(resources)
        present = vector_stores.existing(session, project, attached)
        if present:
            store_id = present[0]
        else:
            store_id = self.new_store(session, project, expires_after_days=expires_after_days)
        self.add(session, project, store_id, _entries(file_ids), "file_ids")
        return {"file_search": {"vector_store_ids": [store_id]}}

    def searchable(self, session: Session, project: str, file_ids: Collection[str]) -> list[str]:
        """Those of the files that can be searched, in the order given."""
        names = files.names(session, project, file_ids)
        return [id_ for id_ in file_ids if id_ in names and self._is_supported(names[id_])]

    def _check_supported(self, filenames: Iterable[str], param: str) -> None:
        suffixes = dict.fromkeys(
            PurePath(name).suffix.lower() or "none"
            for name in filenames
            if not self._is_supported(name)
        )
        if suffixes:
            raise InvalidRequest(
                f"Files with extensions [{', '.join(suffixes)}] are not supported for retrieval. "
                "See https://platform.openai.com/docs/assistants/tools/file-search/supported-files",
                param=param,
                code="unsupported_file",
            )


def with_code_files(resources: Mapping[str, Any], file_ids: Iterable[str]) -> dict[str, Any]:
    """The ``code_interpreter`` part of tool resources, with these files added."""
    known = (resources.get("code_interpreter") or {}).get("file_ids", [])
    return {"code_interpreter": {"file_ids": list(dict.fromkeys([*known, *file_ids]))}}


def _entries(
    file_ids: Iterable[str], chunking_strategy: ChunkingStrategy | None = None
) -> list[StoreFileCreate]:
    return [
        StoreFileCreate(file_id=file_id, chunking_strategy=chunking_strategy)
        for file_id in dict.fromkeys(file_ids)
    ]
