"""Vector stores: create, fill, search, look inside, delete.

Attaching a file only queues it; ``ingest`` makes it searchable.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from localassist.schemas.base import Deleted, ListQuery, Page
from localassist.schemas.search_explanations import (
    SearchExplanation,
    SearchHit,
    SearchScores,
    Span,
)
from localassist.schemas.vector_stores import (
    FileBatch,
    FileBatchCreate,
    FileContentPage,
    SearchPage,
    SearchResult,
    StoreFile,
    StoreFileCreate,
    StoreFileStatus,
    StoreFileUpdate,
    TextChunk,
    VectorStore,
    VectorStoreCreate,
    VectorStoreSearch,
    VectorStoreUpdate,
)
from localassist.services.attachments import Attachments
from localassist.services.library import ExplainedHit, Library
from localassist.storage import file_batches, store_files, vector_stores
from localassist.storage.database import Database, Session

_DEFAULT_RESULTS = 10


class VectorStores:
    """``/vector_stores`` and everything below."""

    def __init__(self, database: Database, library: Library, attachments: Attachments) -> None:
        self._database = database
        self._library = library
        self._attachments = attachments

    # -- stores -----------------------------------------------------------------------------------

    async def create(self, project: str, body: VectorStoreCreate) -> VectorStore:
        """Raises ResourceNotFound for a file that is not there, InvalidRequest for one that cannot
        be searched; then nothing is made."""

        def change(session: Session) -> VectorStore:
            store_id = self._attachments.new_store(
                session,
                project,
                name=body.name,
                description=body.description,
                metadata=body.metadata,
                expires_after_days=None if body.expires_after is None else body.expires_after.days,
            )
            entries = [
                StoreFileCreate(file_id=file_id, chunking_strategy=body.chunking_strategy)
                for file_id in body.file_ids or []
            ]
            self._attachments.add(session, project, store_id, entries, "file_ids")
            return vector_stores.get(session, project, store_id)

        return await self._database.write(change)

    async def retrieve(self, project: str, store_id: str) -> VectorStore:
        return await self._database.read(
            lambda session: vector_stores.get(session, project, store_id)
        )

    async def list(self, project: str, query: ListQuery) -> Page[VectorStore]:
        return await self._database.read(
            lambda session: vector_stores.list_page(session, project, query)
        )

    async def update(self, project: str, store_id: str, body: VectorStoreUpdate) -> VectorStore:
        """Change the fields that are present. Raises InvalidRequest once the store has expired."""
        given = body.model_fields_set
        fields: dict[str, Any] = {
            name: getattr(body, name)
            for name in ("name", "description", "metadata")
            if name in given
        }
        if "expires_after" in given:
            policy = body.expires_after
            fields["expires_after_days"] = None if policy is None else policy.days
        return await self._database.write(
            lambda session: vector_stores.update_fields(session, project, store_id, fields)
        )

    async def delete(self, project: str, store_id: str) -> Deleted:
        """The files of the store stay."""

        def change(session: Session) -> None:
            vector_stores.delete(session, project, store_id)
            self._attachments.wake_after(session)

        await self._database.write(change)
        return Deleted(id=store_id, object="vector_store.deleted")

    # -- search -----------------------------------------------------------------------------------

    async def search(self, project: str, store_id: str, body: VectorStoreSearch) -> SearchPage:
        """Raises ResourceNotFound, and InvalidRequest once the store has expired."""
        await self._check_open(project, store_id)
        found = await self._library.search(
            project, [store_id], body.queries, **_search_options(body)
        )
        results = [
            SearchResult(
                file_id=passage.file_id,
                filename=passage.filename,
                score=passage.score,
                attributes=dict(found.attributes.get(passage.file_id, {})),
                content=[TextChunk(text=passage.text)],
                place=passage.place or None,
            )
            for passage in found.passages
        ]
        return SearchPage(search_query=list(found.queries), data=results)

    async def explain(
        self, project: str, store_id: str, body: VectorStoreSearch
    ) -> SearchExplanation:
        """What such a search is made of. Raises as ``search`` does."""
        await self._check_open(project, store_id)
        explained = await self._library.explain(
            project, [store_id], body.queries, **_search_options(body)
        )
        return SearchExplanation(
            search_query=list(explained.queries), data=[_hit(hit) for hit in explained.hits]
        )

    async def _check_open(self, project: str, store_id: str) -> None:
        def load(session: Session) -> None:
            vector_stores.check_alive(vector_stores.find(session, project, store_id))

        await self._database.read(load)

    # -- files ------------------------------------------------------------------------------------

    async def attach(self, project: str, store_id: str, body: StoreFileCreate) -> StoreFile:
        """Put a file into the store, where it waits for its ingest. One that is there already is
        returned; it is ingested again if its chunking strategy changes."""

        def change(session: Session) -> StoreFile:
            self._attachments.add(session, project, store_id, [body], "file_id")
            return store_files.get(session, project, store_id, body.file_id)

        return await self._database.write(change)

    async def list_files(
        self,
        project: str,
        store_id: str,
        query: ListQuery,
        *,
        status: StoreFileStatus | None = None,
        batch_id: str | None = None,
    ) -> Page[StoreFile]:
        """Files of the store, or of one of its batches. Raises ResourceNotFound."""

        def load(session: Session) -> Page[StoreFile]:
            vector_stores.find(session, project, store_id)
            if batch_id is not None:
                file_batches.get(session, project, store_id, batch_id)
            return store_files.list_page(
                session, project, store_id, query, status=status, batch_id=batch_id
            )

        return await self._database.read(load)

    async def retrieve_file(self, project: str, store_id: str, file_id: str) -> StoreFile:
        def load(session: Session) -> StoreFile:
            vector_stores.find(session, project, store_id)
            return store_files.get(session, project, store_id, file_id)

        return await self._database.read(load)

    async def update_file(
        self, project: str, store_id: str, file_id: str, body: StoreFileUpdate
    ) -> StoreFile:
        """Replace the file's attributes."""
        attributes = body.attributes or {}
        return await self._database.write(
            lambda session: store_files.set_attributes(
                session, project, store_id, file_id, attributes
            )
        )

    async def remove_file(self, project: str, store_id: str, file_id: str) -> Deleted:
        """Take the file out of the store; the file itself stays."""

        def change(session: Session) -> None:
            store_files.remove(session, project, store_id, file_id)
            self._attachments.wake_after(session)

        await self._database.write(change)
        return Deleted(id=file_id, object="vector_store.file.deleted")

    async def file_content(self, project: str, store_id: str, file_id: str) -> FileContentPage:
        """The file's text as it was parsed; no text as long as it is not ingested."""
        stored = await self.retrieve_file(project, store_id, file_id)
        await self._check_open(project, store_id)
        if stored.status != "completed":
            return FileContentPage(data=[])
        text = await self._library.content(project, store_id, file_id)
        return FileContentPage(data=[TextChunk(text=text)])

    # -- batches ----------------------------------------------------------------------------------

    async def create_batch(self, project: str, store_id: str, body: FileBatchCreate) -> FileBatch:
        """Attach many files at once, or none if one of them cannot be."""
        param = "file_ids" if body.files is None else "files"

        def change(session: Session) -> FileBatch:
            entries = body.entries
            self._attachments.add(session, project, store_id, entries, param)
            file_ids = [entry.file_id for entry in entries]
            return file_batches.create(session, project, store_id, file_ids)

        return await self._database.write(change)

    async def retrieve_batch(self, project: str, store_id: str, batch_id: str) -> FileBatch:
        def load(session: Session) -> FileBatch:
            vector_stores.find(session, project, store_id)
            return file_batches.get(session, project, store_id, batch_id)

        return await self._database.read(load)

    async def cancel_batch(self, project: str, store_id: str, batch_id: str) -> FileBatch:
        """Cancel the files that are not ingested yet; a batch that has ended is returned."""

        def change(session: Session) -> FileBatch:
            vector_stores.find(session, project, store_id)
            self._attachments.wake_after(session)
            return file_batches.cancel(session, project, store_id, batch_id)

        return await self._database.write(change)


def _hit(explained: ExplainedHit) -> SearchHit:
    hit = explained.hit
    return SearchHit(
        file_id=hit.file_id,
        filename=explained.filename,
        attributes=dict(explained.attributes),
        unit=hit.unit,
        place=explained.place,
        text=explained.text,
        span=Span(start=hit.start, end=hit.end),
        near=_span(explained.near),
        wide=_span(explained.wide),
        highlights=[_span(span) for span in explained.highlights],
        score=hit.score,
        fused=hit.fused,
        scores=SearchScores(**asdict(hit.parts)),
    )


def _span(span: tuple[int, int]) -> Span:
    return Span(start=span[0], end=span[1])


def _search_options(body: VectorStoreSearch) -> dict[str, Any]:
    options = body.ranking_options
    threshold = None if options is None else options.score_threshold
    return {
        "limit": body.max_num_results or _DEFAULT_RESULTS,
        "score_threshold": threshold or 0.0,
        "filters": None if body.filters is None else body.filters.dump(),
    }
