"""What reads files into vector stores, and what searches them."""

from __future__ import annotations

from contextlib import AsyncExitStack

from localassist.retrieval.parsing import ParserPool
from localassist.retrieval.segments import SegmentStore
from localassist.services.ingest import Ingest
from localassist.services.library import Library
from localassist.services.open_stores import OpenStores
from localassist.services.store_embedders import StoreEmbedders
from localassist.settings import Settings
from localassist.storage.blobs import BlobStore
from localassist.storage.database import Database
from localassist.storage.process_lock import working_lock


def open_retrieval(
    stack: AsyncExitStack,
    settings: Settings,
    database: Database,
    blobs: BlobStore,
    store_embedders: StoreEmbedders,
) -> tuple[Ingest, Library]:
    """What reads files into vector stores, and what searches them."""
    segments = SegmentStore(
        settings.home / "segments", held_bytes=settings.retrieval.content_memory_mb * 2**20
    )
    stores = OpenStores(settings.home / "stores", keep=settings.retrieval.open_stores)
    stack.push_async_callback(stores.close)
    parsers = ParserPool(settings.retrieval)
    stack.push_async_callback(parsers.close)
    ingest = Ingest(
        database,
        blobs,
        segments,
        stores,
        parsers.parse,
        store_embedders.get,
        settings.retrieval,
        working_lock(settings.home),
    )
    stack.push_async_callback(ingest.close)
    library = Library(
        database,
        segments,
        stores,
        store_embedders.get,
        ingest,
        keep=settings.retrieval.open_stores,
    )
    stack.callback(library.close)
    return ingest, library
