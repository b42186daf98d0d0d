"""What is done with a data folder without working on its runs and files.

A service may work on it meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from localassist.archive.archive import Archive
from localassist.errors import ConfigError
from localassist.registry.catalog import Catalog
from localassist.retrieval.parsers import supported
from localassist.runs.records import RunRecords
from localassist.runtime.retention import retention_of
from localassist.services.attachments import Attachments
from localassist.services.files import Files
from localassist.services.keys import Keys
from localassist.services.retention import Retention
from localassist.services.store_embedders import default_embedder_id
from localassist.settings import Settings
from localassist.storage.blobs import BlobStore
from localassist.storage.database import Database
from localassist.storage.process_lock import working_lock


@asynccontextmanager
async def open_keys(settings: Settings) -> AsyncIterator[Keys]:
    """Only the keys of the data folder. Raises StorageError, as all of these do."""
    async with _database(settings) as database:
        yield Keys(database)


@asynccontextmanager
async def open_records(settings: Settings) -> AsyncIterator[RunRecords]:
    """Only the records of the data folder's runs."""
    async with _database(settings) as database:
        yield RunRecords(database)


@asynccontextmanager
async def open_archive(settings: Settings) -> AsyncIterator[Archive]:
    """Exports and imports of the data folder."""
    catalog = Catalog(settings.home, settings.models)

    def embedder_id() -> str:
        return default_embedder_id(catalog)

    async with _database(settings) as database:
        folder = settings.home / "blobs"
        attachments = Attachments(embedder_id, supported, lambda: None)
        yield Archive(
            database,
            BlobStore(folder),
            folder,
            attachments,
            embedder_id,
            lambda name: catalog.find(name) is not None,
        )


@asynccontextmanager
async def open_retention(settings: Settings) -> AsyncIterator[Retention]:
    """Only what removes old things. Kernels of a running service end by themselves."""

    async def threads_deleted(thread_ids: list[str]) -> None:
        return

    async with _database(settings) as database:
        blobs = BlobStore(settings.home / "blobs")
        yield retention_of(settings, database, Files(database, blobs), threads_deleted)


def vacuum(settings: Settings, *, is_live: bool) -> tuple[int, int]:
    """``Database.vacuum``; unless ``is_live``, only where no service runs on the data folder.
    Raises StorageError and ConfigError."""
    lock = working_lock(settings.home)
    if not (lock.acquire() or is_live):
        raise ConfigError(
            "A service runs on this data folder, and its writes would have to wait: stop it, or "
            "say --live."
        )
    try:
        database = Database.open(settings.home, settings.storage)
        try:
            return database.vacuum()
        finally:
            asyncio.run(database.close())
    finally:
        lock.release()


@asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[Database]:
    database = await asyncio.to_thread(Database.open, settings.home, settings.storage)
    try:
        yield database
    finally:
        await database.close()
