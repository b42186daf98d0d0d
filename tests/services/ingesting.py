"""Ingest and library on a real data folder, with a reader and an embedder that tests control."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localassist.errors import UnreadableFile
from localassist.retrieval.config import RetrievalSettings
from localassist.retrieval.documents import ParsedDocument
from localassist.retrieval.embedders import Embedder, HashingEmbedder
from localassist.retrieval.segments import SegmentStore
from localassist.schemas.vector_stores import StoreFile, StoreFileCreate
from localassist.services.ingest import Ingest
from localassist.services.library import Library
from localassist.services.open_stores import OpenStores
from localassist.storage import files, ingest_queue, store_files, vector_stores
from localassist.storage.blobs import BlobStore
from localassist.storage.config import StorageSettings
from localassist.storage.database import Database
from localassist.storage.process_lock import working_lock
from localassist.storage.tables import DEFAULT_PROJECT as P

EMBEDDER = "hashing"


@dataclass
class Reader:
    """Reads UTF-8. A file is held while its name is in ``gates``; ``boom`` in a text is a damaged
    file, ``bug`` a mistake of ours."""

    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    read: list[str] = field(default_factory=list)

    async def __call__(self, path: Path, filename: str) -> ParsedDocument:
        self.read.append(filename)
        if filename in self.gates:
            await self.gates[filename].wait()
        text = await asyncio.to_thread(path.read_text)
        if "boom" in text:
            raise UnreadableFile("The file is damaged.")
        if "bug" in text:
            raise KeyError("bug")
        return ParsedDocument(text, language="en")


@dataclass
class Bench:
    """One process's view of a data folder."""

    home: Path
    database: Database
    blobs: BlobStore
    segments: SegmentStore
    stores: OpenStores
    reader: Reader
    ingest: Ingest
    library: Library
    embedders: dict[str, Embedder]

    async def store(self, embedder_id: str = EMBEDDER, **fields: Any) -> str:
        return await self.database.write(
            lambda s: vector_stores.insert(s, P, embedder_id=embedder_id, **fields)
        )

    async def upload(self, text: str, filename: str = "a.txt") -> str:
        async def chunks() -> AsyncIterator[bytes]:
            yield text.encode()

        blob = await self.blobs.put(chunks(), max_bytes=1 << 30)
        file = await self.database.write(
            lambda s: files.insert(
                s, P, filename=filename, purpose="assistants", blob=blob, expires_after=None
            )
        )
        return file.id

    async def attach(self, store_id: str, *file_ids: str, **fields: Any) -> None:
        entries = [
            StoreFileCreate.model_validate({"file_id": file_id, **fields}) for file_id in file_ids
        ]
        await self.database.write(lambda s: store_files.attach(s, P, store_id, entries))
        self.ingest.wake()

    async def add(self, store_id: str, text: str, filename: str = "a.txt", **fields: Any) -> str:
        file_id = await self.upload(text, filename)
        await self.attach(store_id, file_id, **fields)
        return file_id

    async def remove(self, store_id: str, file_id: str) -> None:
        await self.database.write(lambda s: store_files.remove(s, P, store_id, file_id))
        self.ingest.wake()

    async def file(self, store_id: str, file_id: str) -> StoreFile:
        return await self.database.read(lambda s: store_files.get(s, P, store_id, file_id))

    async def version(self, store_id: str) -> int | None:
        return await self.database.read(lambda s: ingest_queue.version(s, store_id))

    async def done(self, *store_ids: str, seconds: float = 30) -> None:
        assert await self.ingest.wait_for(store_ids, seconds)

    async def find(self, store_id: str | list[str], *queries: str, **wishes: Any) -> list[str]:
        """The ids of the files found, best first."""
        ids = [store_id] if isinstance(store_id, str) else store_id
        found = await self.library.search(P, ids, queries, **wishes)
        return [passage.file_id for passage in found.passages]


@asynccontextmanager
async def bench(
    home: Path,
    *,
    reader: Reader | None = None,
    embedders: Mapping[str, Embedder] | None = None,
    starts: bool = True,
    **settings: Any,
) -> AsyncIterator[Bench]:
    database = Database.open(home, StorageSettings())
    known: dict[str, Embedder] = {EMBEDDER: HashingEmbedder(), **(embedders or {})}

    async def embedder(embedder_id: str) -> Embedder:
        return known[embedder_id]

    reader = reader or Reader()
    blobs, segments = BlobStore(home / "blobs"), SegmentStore(home / "segments")
    stores = OpenStores(home / "stores", keep=4)
    wishes = RetrievalSettings(**{"poll_seconds": 0.05, **settings})
    lock = working_lock(home)
    ingest = Ingest(database, blobs, segments, stores, reader, embedder, wishes, lock)
    library = Library(database, segments, stores, embedder, ingest, keep=4)
    if starts:
        await ingest.start()
    try:
        yield Bench(home, database, blobs, segments, stores, reader, ingest, library, known)
    finally:
        library.close()
        await ingest.close()
        await stores.close()
        await database.close()
