"""The composition root: builds everything, wires it, and closes it in order.

The only place where concrete classes of different packages meet. Whatever talks to localassist,
over HTTP, in process or from the command line, talks to a ``Runtime``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from localassist.engine import Engine, EnginePool, load_engine, validate_grammar
from localassist.registry.catalog import Catalog
from localassist.registry.manifest import ModelManifest
from localassist.retrieval.embedders import Embedder, SentenceEmbedder
from localassist.runs.events import EventLog
from localassist.runs.executor import Executor
from localassist.runs.feed import EventFeed
from localassist.runs.loop import RunLoop
from localassist.runs.service import Runs
from localassist.runs.writer import RunWriter
from localassist.services.assistants import Assistants
from localassist.services.chat import Chat
from localassist.services.embeddings import Embeddings
from localassist.services.files import Files
from localassist.services.messages import Messages
from localassist.services.models import LoadEmbedder, LoadEngine, Models
from localassist.services.threads import Threads
from localassist.settings import Settings
from localassist.storage.blobs import BlobStore
from localassist.storage.database import Database
from localassist.storage.tables import DEFAULT_PROJECT


@dataclass(frozen=True, slots=True)
class Runtime:
    """All services, open. Every method of a service takes the caller's project first."""

    settings: Settings
    assistants: Assistants
    threads: Threads
    messages: Messages
    runs: Runs
    files: Files
    models: Models
    chat: Chat
    embeddings: Embeddings
    default_project: str = DEFAULT_PROJECT


@asynccontextmanager
async def open_runtime(
    settings: Settings,
    *,
    engines: LoadEngine | None = None,
    embedders: LoadEmbedder | None = None,
) -> AsyncIterator[Runtime]:
    """Open the data folder and start working; on leaving, park all runs and close everything.

    ``engines`` and ``embedders`` replace the real models, for tests: see ``engine.ScriptedEngine``
    and ``retrieval.embedders.HashingEmbedder``. Raises StorageError and ConfigError.
    """
    async with AsyncExitStack() as stack:
        database = await asyncio.to_thread(Database.open, settings.home, settings.storage)
        stack.push_async_callback(database.close)
        catalog = Catalog(settings.home, settings.models)
        if engines is None:
            pool = EnginePool(_engine_loader(catalog, settings))
            stack.push_async_callback(pool.close)
            engines = _by_id(pool)
        if embedders is None:
            shelf = _EmbedderShelf(catalog)
            stack.callback(shelf.close)
            embedders = shelf.get
        models = Models(catalog, engines, embedders, validate_grammar)
        stack.push_async_callback(models.close)
        feed = EventFeed()
        writer = RunWriter(database, feed)
        loop = RunLoop(database, models, settings.runs)
        files = Files(database, BlobStore(settings.home / "blobs"))
        executor = Executor(database, writer, feed, loop, settings.runs, on_sweep=files.sweep)
        log = EventLog(database, feed, poll_seconds=settings.runs.poll_seconds)
        stack.push_async_callback(executor.close)
        await executor.start()
        yield Runtime(
            settings=settings,
            assistants=Assistants(database, models),
            threads=Threads(database, executor.drop),
            messages=Messages(database),
            runs=Runs(database, models, writer, executor, log, settings.runs),
            files=files,
            models=models,
            chat=Chat(models),
            embeddings=Embeddings(models),
        )


def _engine_loader(catalog: Catalog, settings: Settings) -> Callable[[str], Engine]:
    def load(model_id: str) -> Engine:
        manifest = catalog.get(model_id)
        engine = settings.engine
        if engine.context_tokens is None:
            engine = engine.model_copy(update={"context_tokens": manifest.context_length})
        return load_engine(catalog.locate(manifest), model_id, engine, settings.home / "cache")

    return load


def _by_id(pool: EnginePool) -> LoadEngine:
    async def load(manifest: ModelManifest) -> Engine:
        return await pool.get(manifest.id)

    return load


class _EmbedderShelf:
    """Embedding models, loaded when first asked for and once each."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._loads: dict[str, asyncio.Task[SentenceEmbedder]] = {}

    async def get(self, manifest: ModelManifest) -> Embedder:
        load = self._loads.get(manifest.id)
        if load is None or (load.done() and load.exception() is not None):
            load = self._loads[manifest.id] = asyncio.create_task(self._load(manifest))
        return await asyncio.shield(load)

    def close(self) -> None:
        for load in self._loads.values():
            if load.done() and not load.cancelled() and load.exception() is None:
                load.result().close()
            else:
                load.cancel()

    async def _load(self, manifest: ModelManifest) -> SentenceEmbedder:
        folder = await asyncio.to_thread(self._catalog.locate, manifest)
        return await SentenceEmbedder.load(folder)
