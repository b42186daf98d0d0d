"""The models: the pool of their engines, and embedding models."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

from localassist.engine import Engine, EnginePool, load_engine, validate_grammar
from localassist.engine.footprint import memory_budget
from localassist.engine.loading import LoadProgress
from localassist.engine.machine import free_memory_bytes, machine_memory_bytes
from localassist.registry.catalog import Catalog
from localassist.registry.manifest import ModelManifest, ServerSource
from localassist.retrieval.embedders import Backend, Embedder, open_embedder
from localassist.services.model_memory import fitted
from localassist.services.models import HasRoom, LeaseEngine, LoadEmbedder, Models
from localassist.services.tool_mode import ProbedToolModes
from localassist.settings import Settings

_log = logging.getLogger(__name__)

LoadEngine = Callable[[ModelManifest], Awaitable[Engine]]


def open_models(
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


def _engine_pool(catalog: Catalog, settings: Settings) -> EnginePool:
    engine = settings.engine

    def load(model_id: str, progress: LoadProgress) -> Engine:
        manifest = catalog.get(model_id)
        if isinstance(manifest.source, ServerSource):
            from localassist.services.model_servers import open_server_engine

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
