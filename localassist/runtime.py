"""The composition root: builds everything, wires it, and closes it in order.

The only place where concrete classes of different packages meet. Whatever talks to localassist,
over HTTP, in process or from the command line, talks to a ``Runtime``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from localassist.archive.archive import Archive
from localassist.engine import Engine, EnginePool, load_engine, validate_grammar
from localassist.engine.footprint import memory_budget
from localassist.engine.loading import LoadProgress
from localassist.engine.machine import free_memory_bytes, machine_memory_bytes
from localassist.errors import ConfigError
from localassist.offline import switch_off
from localassist.registry.catalog import Catalog
from localassist.registry.manifest import ModelManifest, ServerSource
from localassist.retrieval.embedders import Backend, Embedder, open_embedder
from localassist.retrieval.parsers import supported
from localassist.retrieval.parsing import ParserPool
from localassist.retrieval.segments import SegmentStore
from localassist.runs.coding import Coding
from localassist.runs.counters import RunCounters
from localassist.runs.events import EventLog
from localassist.runs.executor import Executor
from localassist.runs.feed import EventFeed
from localassist.runs.loop import RunLoop
from localassist.runs.records import RunRecords
from localassist.runs.searching import Searcher
from localassist.runs.service import Runs
from localassist.runs.shutdown import Shutdown
from localassist.runs.writer import RunWriter
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
from localassist.services.model_memory import fitted
from localassist.services.model_servers import open_server_engine
from localassist.services.models import HasRoom, LeaseEngine, LoadEmbedder, Models
from localassist.services.open_stores import OpenStores
from localassist.services.owned_files import OwnedFiles
from localassist.services.retention import Retention
from localassist.services.sandbox_verdict import RememberedVerdict
from localassist.services.store_embedders import StoreEmbedders, default_embedder_id
from localassist.services.thread_code import ThreadCode
from localassist.services.threads import Threads
from localassist.services.tool_mode import ProbedToolModes
from localassist.services.uploads import Uploads
from localassist.services.vector_stores import VectorStores
from localassist.settings import Settings
from localassist.storage.blobs import BlobStore
from localassist.storage.database import Database
from localassist.storage.process_lock import ProcessLock
from localassist.storage.tables import DEFAULT_PROJECT

_log = logging.getLogger(__name__)

LoadEngine = Callable[[ModelManifest], Awaitable[Engine]]


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
        models, pool, embedders = _open_models(stack, settings, catalog, engines, embedders)
        store_embedders = StoreEmbedders(catalog, embedders)
        ingest, library = _open_retrieval(stack, settings, database, blobs, store_embedders)
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

        retention = _retention(settings, database, files, threads_deleted)

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


@asynccontextmanager
async def open_keys(settings: Settings) -> AsyncIterator[Keys]:
    """Only the keys of the data folder, without starting to work. Raises StorageError."""
    async with _database(settings) as database:
        yield Keys(database)


@asynccontextmanager
async def open_records(settings: Settings) -> AsyncIterator[RunRecords]:
    """Only the records of the data folder's runs, likewise."""
    async with _database(settings) as database:
        yield RunRecords(database)


@asynccontextmanager
async def open_archive(settings: Settings) -> AsyncIterator[Archive]:
    """Exports and imports of the data folder, likewise; a server may work on it meanwhile."""
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
    """Only what removes old things, likewise. Kernels of a running service end by themselves."""

    async def threads_deleted(thread_ids: list[str]) -> None:
        return

    async with _database(settings) as database:
        blobs = BlobStore(settings.home / "blobs")
        yield _retention(settings, database, Files(database, blobs), threads_deleted)


def vacuum(settings: Settings, *, is_live: bool) -> tuple[int, int]:
    """``Database.vacuum``; unless ``is_live``, only where no service runs on the data folder.
    Raises StorageError and ConfigError."""
    lock = _ingest_lock(settings)
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


def _ingest_lock(settings: Settings) -> ProcessLock:
    return ProcessLock(settings.home / "stores" / ".ingest.lock")


def _retention(
    settings: Settings,
    database: Database,
    files: Files,
    on_threads: Callable[[list[str]], Awaitable[None]],
) -> Retention:
    return Retention(
        database,
        settings.retention,
        log_seconds=settings.runs.log_retention_seconds,
        snapshots=settings.home / "cache" / "conversations",
        on_threads=on_threads,
        on_files=files.sweep,
    )


@asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[Database]:
    database = await asyncio.to_thread(Database.open, settings.home, settings.storage)
    try:
        yield database
    finally:
        await database.close()


def _open_models(
    stack: AsyncExitStack,
    settings: Settings,
    catalog: Catalog,
    engines: LoadEngine | None,
    embedders: LoadEmbedder | None,
) -> tuple[Models, EnginePool | None, LoadEmbedder]:
    """The models, the pool of their engines unless those are given, and the way to embedders."""
    pool: EnginePool | None = None
    if engines is not None:
        lease, has_room = _kept(engines)
    else:
        pool = _engine_pool(catalog, settings)
        stack.push_async_callback(pool.close)
        lease, has_room = _from_pool(pool)
    if embedders is None:
        cache = settings.home / "cache" / "embedders"
        shelf = _EmbedderShelf(catalog, cache, settings.retrieval.embedder_backend)
        stack.push_async_callback(shelf.close)
        embedders = shelf.get
    tool_modes = ProbedToolModes(settings.home, validate_grammar)
    models = Models(catalog, lease, has_room, embedders, validate_grammar, tool_modes)
    stack.push_async_callback(models.close)
    return models, pool, embedders


def _open_retrieval(
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
        _ingest_lock(settings),
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


def _open_interpreter(
    stack: AsyncExitStack, settings: Settings, database: Database, blobs: BlobStore
) -> ThreadCode:
    """Code of threads. No kernel is started before code is asked for."""
    sessions = Sessions(settings.sandbox, settings.home)
    verdict = RememberedVerdict(lambda: verdict_of(settings.sandbox, settings.home))
    interpreter = ThreadCode(database, blobs, sessions, verdict, Limits.of(settings.sandbox))
    stack.push_async_callback(interpreter.close)
    return interpreter


def _engine_pool(catalog: Catalog, settings: Settings) -> EnginePool:
    engine = settings.engine

    def load(model_id: str, progress: LoadProgress) -> Engine:
        manifest = catalog.get(model_id)
        if isinstance(manifest.source, ServerSource):
            return open_server_engine(manifest)
        path = catalog.locate(manifest)
        sized, _ = fitted(manifest, engine, free_memory_bytes())
        _log.info("%s gets %d KV cells.", model_id, sized.context_tokens)
        return load_engine(path, model_id, sized, settings.home / "cache", progress)

    def estimate(model_id: str) -> int:
        # What is free changes until the model is loaded; the whole memory is the upper bound.
        manifest = catalog.get(model_id)
        if isinstance(manifest.source, ServerSource):
            return 0
        return fitted(manifest, engine, machine_memory_bytes())[1]

    return EnginePool(
        load,
        estimate=estimate,
        budget=memory_budget(engine),
        keep_alive_seconds=engine.keep_alive_seconds,
    )


def _from_pool(pool: EnginePool) -> tuple[LeaseEngine, HasRoom]:
    def lease(manifest: ModelManifest) -> AbstractAsyncContextManager[Engine]:
        return pool.lease(manifest.id)

    def has_room(manifest: ModelManifest) -> Awaitable[bool]:
        return pool.has_room(manifest.id)

    return lease, has_room


def _kept(load: LoadEngine) -> tuple[LeaseEngine, HasRoom]:
    """Engines that someone else keeps: a lease is only the way to them."""

    @asynccontextmanager
    async def lease(manifest: ModelManifest) -> AsyncIterator[Engine]:
        yield await load(manifest)

    async def has_room(manifest: ModelManifest) -> bool:
        return True

    return lease, has_room


class _EmbedderShelf:
    """Embedding models, loaded when first asked for and once each."""

    def __init__(self, catalog: Catalog, cache: Path, backend: Backend) -> None:
        self._catalog = catalog
        self._cache = cache
        self._backend: Backend = backend
        self._loads: dict[str, asyncio.Task[Embedder]] = {}

    async def get(self, manifest: ModelManifest) -> Embedder:
        load = self._loads.get(manifest.id)
        if load is None or (load.done() and (load.cancelled() or load.exception() is not None)):
            load = self._loads[manifest.id] = asyncio.create_task(self._load(manifest))
        return await asyncio.shield(load)

    async def close(self) -> None:
        """Let the models go, those still being loaded as well."""
        for load in self._loads.values():
            load.cancel()
        for loaded in await asyncio.gather(*self._loads.values(), return_exceptions=True):
            if not isinstance(loaded, BaseException):
                await asyncio.to_thread(loaded.close)

    async def _load(self, manifest: ModelManifest) -> Embedder:
        folder = await asyncio.to_thread(self._catalog.locate, manifest)
        return await open_embedder(folder, self._cache, backend=self._backend)
