"""Loads engines when they are first asked for, once each, off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

from localassist.engine.config import EngineSettings
from localassist.engine.engine import LlamaEngine
from localassist.engine.request import Engine
from localassist.errors import ShuttingDown


def load_engine(
    path: Path, model_id: str, settings: EngineSettings, probe_folder: Path
) -> LlamaEngine:
    """Load a GGUF file; blocks for seconds. ``probe_folder`` remembers what the machine can do.

    Raises ModelLoadFailed.
    """
    from localassist.engine.llama import LlamaBackend
    from localassist.engine.probe import extra_buffers_survive

    if settings.use_extra_buffers == "auto":
        use_extra_buffers = extra_buffers_survive(
            path, probe_folder, timeout_seconds=settings.probe_seconds
        )
    else:
        use_extra_buffers = settings.use_extra_buffers == "on"
    open_backend = partial(LlamaBackend, path, settings, use_extra_buffers=use_extra_buffers)
    return LlamaEngine(open_backend, model_id, settings)


class EnginePool:
    """Engines by model id. ``loader`` is called in a worker thread, once per model.

    An engine that broke is closed and loaded again by the next ``get``. Use from one event loop.
    """

    def __init__(self, loader: Callable[[str], Engine]) -> None:
        self._loader = loader
        self._loads: dict[str, asyncio.Task[Engine]] = {}
        self._is_closed = False

    async def get(self, model_id: str) -> Engine:
        """The engine of a model; concurrent callers share one load, and a caller that is cancelled
        does not stop it. What the loader raises is raised here; the next call tries again."""
        if self._is_closed:
            raise ShuttingDown("The engines are closed.")
        load = self._loads.get(model_id)
        if load is None or not _is_good(load):
            load = asyncio.create_task(self._load(model_id, load), name=f"load {model_id}")
            self._loads[model_id] = load
        return await asyncio.shield(load)

    async def close(self) -> None:
        """Close every engine, also one that is still loading; ``get`` is refused from now on."""
        self._is_closed = True
        loads = list(self._loads.values())
        self._loads.clear()
        for result in await asyncio.gather(*loads, return_exceptions=True):
            if not isinstance(result, BaseException):
                await result.close()

    async def _load(self, model_id: str, previous: asyncio.Task[Engine] | None) -> Engine:
        if previous is not None and previous.exception() is None:
            await previous.result().close()
        return await asyncio.to_thread(self._loader, model_id)


def _is_good(load: asyncio.Task[Engine]) -> bool:
    """Still loading, or loaded and not broken."""
    if not load.done():
        return True
    if load.exception() is not None:
        return False
    engine = load.result()
    return not (isinstance(engine, LlamaEngine) and engine.is_broken)
