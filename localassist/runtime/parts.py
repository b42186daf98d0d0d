"""What the services of a data folder are made of: its database and contents, models, documents and
kernels. Each part knows only those opened before it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass

from localassist.engine import EnginePool
from localassist.registry.catalog import Catalog
from localassist.retrieval.parsers import supported
from localassist.runtime.models import LoadEngine, open_models
from localassist.runtime.retrieval import open_retrieval
from localassist.sandbox.choosing import verdict_of
from localassist.sandbox.limits import Limits
from localassist.sandbox.sessions import Sessions
from localassist.services.attachments import Attachments
from localassist.services.files import Files
from localassist.services.ingest import Ingest
from localassist.services.interpreter import Interpreter
from localassist.services.library import Library
from localassist.services.models import LoadEmbedder, Models
from localassist.services.sandbox_verdict import RememberedVerdict
from localassist.services.store_embedders import StoreEmbedders
from localassist.services.thread_code import ThreadCode
from localassist.settings import Settings
from localassist.storage.blobs import BlobStore
from localassist.storage.database import Database


@dataclass(frozen=True, slots=True)
class Parts:
    """``pool`` is None where the engines are not the runtime's own."""

    settings: Settings
    database: Database
    blobs: BlobStore
    models: Models
    pool: EnginePool | None
    store_embedders: StoreEmbedders
    ingest: Ingest
    library: Library
    code: Interpreter
    files: Files
    attachments: Attachments


async def open_parts(
    stack: AsyncExitStack,
    settings: Settings,
    engines: LoadEngine | None,
    embedders: LoadEmbedder | None,
    interpreter: Interpreter | None,
) -> Parts:
    """Open one after the other; ``stack`` closes them in reverse. Nothing works yet.

    Raises StorageError and ConfigError.
    """
    database = await asyncio.to_thread(Database.open, settings.home, settings.storage)
    stack.push_async_callback(database.close)
    blobs = BlobStore(settings.home / "blobs")
    catalog = Catalog(settings.home, settings.models)
    models, pool, embedders = open_models(stack, settings, catalog, engines, embedders)
    store_embedders = StoreEmbedders(catalog, embedders)
    ingest, library = open_retrieval(stack, settings, database, blobs, store_embedders)
    return Parts(
        settings=settings,
        database=database,
        blobs=blobs,
        models=models,
        pool=pool,
        store_embedders=store_embedders,
        ingest=ingest,
        library=library,
        code=interpreter or _open_interpreter(stack, settings, database, blobs),
        files=Files(database, blobs, ingest.wake),
        attachments=Attachments(store_embedders.default_id, supported, ingest.wake),
    )


def _open_interpreter(
    stack: AsyncExitStack, settings: Settings, database: Database, blobs: BlobStore
) -> ThreadCode:
    """Code of threads. No kernel is started before code is asked for."""
    sessions = Sessions(settings.sandbox, settings.home)
    verdict = RememberedVerdict(lambda: verdict_of(settings.sandbox, settings.home))
    interpreter = ThreadCode(database, blobs, sessions, verdict, Limits.of(settings.sandbox))
    stack.push_async_callback(interpreter.close)
    return interpreter
