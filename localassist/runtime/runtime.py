"""All services of a data folder, opened in order and closed in reverse."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from localassist.engine import EnginePool
from localassist.offline import switch_off
from localassist.registry.catalog import Catalog
from localassist.retrieval.parsers import supported
from localassist.runs.coding import Coding
from localassist.runs.counters import RunCounters
from localassist.runs.events import EventLog
from localassist.runs.executor import Executor
from localassist.runs.feed import EventFeed
from localassist.runs.loop import RunLoop
from localassist.runs.searching import Searcher
from localassist.runs.service import Runs
from localassist.runs.shutdown import Shutdown
from localassist.runs.writer import RunWriter
from localassist.runtime.models import LoadEngine, open_models
from localassist.runtime.retention import retention_of
from localassist.runtime.retrieval import open_retrieval
from localassist.sandbox.choosing import verdict_of
from localassist.sandbox.limits import Limits
from localassist.sandbox.sessions import Sessions
from localassist.services.admission import Admission
from localassist.services.assistants import Assistants
from localassist.services.attachments import Attachments
from localassist.services.chat import Chat
from localassist.services.embeddings import Embeddings
from localassist.services.explain import Explain
from localassist.services.files import Files
from localassist.services.ingest import Ingest
from localassist.services.interpreter import Interpreter
from localassist.services.keys import Keys
from localassist.services.library import Library
from localassist.services.messages import Messages
from localassist.services.models import LoadEmbedder, Models
from localassist.services.owned_files import OwnedFiles
from localassist.services.sandbox_verdict import RememberedVerdict
from localassist.services.store_embedders import StoreEmbedders
from localassist.services.thread_code import ThreadCode
from localassist.services.threads import Threads
from localassist.services.uploads import Uploads
from localassist.services.vector_stores import VectorStores
from localassist.settings import Settings
from localassist.storage.blobs import BlobStore
from localassist.storage.database import Database
from localassist.storage.tables import DEFAULT_PROJECT


@dataclass(frozen=True, slots=True)
class Runtime:
    """All services, open. Every method of a service takes the caller's project first.

    ``pool`` holds the loaded models; None when the engines are not its own.
    """

    settings: Settings
    assistants: Assistants
    threads: Threads
    messages: Messages
    runs: Runs
    run_counters: RunCounters
    files: Files
    owned_files: OwnedFiles
    uploads: Uploads
    vector_stores: VectorStores
    library: Library
    ingest: Ingest
    store_embedders: StoreEmbedders
    models: Models
    chat: Chat
    embeddings: Embeddings
    explain: Explain
    keys: Keys
    interpreter: Interpreter
    pool: EnginePool | None
    shutdown: Shutdown
    default_project: str = DEFAULT_PROJECT


@asynccontextmanager
async def open_runtime(
    settings: Settings,
    *,
    engines: LoadEngine | None = None,
    embedders: LoadEmbedder | None = None,
    interpreter: Interpreter | None = None,
) -> AsyncIterator[Runtime]:
    """Open the data folder and start working; on leaving, park all runs and close everything.

    ``engines`` and ``embedders`` replace the real models, ``interpreter`` the kernels, for tests:
    see ``engine.ScriptedEngine`` and ``retrieval.embedders.HashingEmbedder``. Raises StorageError
    and ConfigError.
    """
    switch_off()
    async with AsyncExitStack() as stack:
        database = await asyncio.to_thread(Database.open, settings.home, settings.storage)
        stack.push_async_callback(database.close)
        blobs = BlobStore(settings.home / "blobs")
        catalog = Catalog(settings.home, settings.models)
        models, pool, embedders = open_models(stack, settings, catalog, engines, embedders)
        store_embedders = StoreEmbedders(catalog, embedders)
        ingest, library = open_retrieval(stack, settings, database, blobs, store_embedders)
        code = interpreter or _open_interpreter(stack, settings, database, blobs)
        feed = EventFeed()
        writer = RunWriter(database, feed)
        searcher = Searcher(database, library, ingest.wait_for, settings.runs)
        coding = Coding(database, code)
        loop = RunLoop(database, models, searcher, coding, settings.runs)
        files = Files(database, blobs, ingest.wake)

        async def threads_deleted(thread_ids: list[str]) -> None:
            for thread_id in thread_ids:
                await code.drop(thread_id)

        retention = retention_of(settings, database, files, threads_deleted)

        async def sweep() -> None:
            await files.sweep()
            await ingest.sweep()
            await retention.sweep_in_turn()

        counters = RunCounters()
        executor = Executor(database, writer, feed, loop, settings.runs, sweep, counters)
        attachments = Attachments(store_embedders.default_id, supported, ingest.wake)
        log = EventLog(database, feed, poll_seconds=settings.runs.poll_seconds)
        admission = Admission()
        stack.push_async_callback(executor.close)
        await ingest.start()
        await executor.start()

        async def thread_deleted(thread_id: str, active_runs: list[str]) -> None:
            executor.drop(active_runs)
            await code.drop(thread_id)

        yield Runtime(
            settings=settings,
            assistants=Assistants(database, models, attachments, Limits.of(settings.sandbox)),
            threads=Threads(database, attachments, thread_deleted),
            messages=Messages(database, attachments),
            run_counters=counters,
            runs=Runs(
                database, models, writer, executor, log, settings.runs, attachments, admission
            ),
            files=files,
            owned_files=OwnedFiles(database, attachments),
            uploads=Uploads(database, blobs),
            vector_stores=VectorStores(database, library, attachments),
            library=library,
            ingest=ingest,
            store_embedders=store_embedders,
            models=models,
            chat=Chat(models, admission),
            embeddings=Embeddings(models),
            explain=Explain(models),
            keys=Keys(database),
            interpreter=code,
            pool=pool,
            shutdown=Shutdown(admission, executor, log),
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
